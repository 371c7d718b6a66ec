"""``with governance(...)``: nesting, leaving in any way and in any order, one instance for many blocks."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
from opentelemetry import context

from genops_otel_posthog.attribution import NOBODY, Attribution, attribution_in, governance
from genops_otel_posthog.errors import GenOpsValidationError


def team():
    return attribution_in().team


def messages(caplog):
    return [record.message for record in caplog.records]


def test_outside_of_any_block_nobody_is_named():
    assert attribution_in() is NOBODY


def test_a_block_names_the_owner_until_it_ends():
    with governance(team="checkout"):
        assert attribution_in() == Attribution(team="checkout")
    assert attribution_in() is NOBODY


def test_the_inner_block_wins_field_by_field_and_tags_add_up():
    with governance(team="checkout", project="shop", tags={"tier": "gold", "platform": "ios"}):
        with governance(project="api", feature="refund", tags={"tier": "silver"}):
            assert attribution_in() == Attribution(
                team="checkout", project="api", feature="refund", tags={"tier": "silver", "platform": "ios"}
            )
        assert attribution_in().project == "shop"


def test_none_in_an_inner_block_erases_nothing():
    with governance(team="checkout"), governance(team=None, project="shop"):
        assert attribution_in() == Attribution(team="checkout", project="shop")


def test_an_exception_leaves_the_block_and_reaches_the_caller():
    error = ValueError("x")
    with governance(team="checkout"):
        with pytest.raises(ValueError, match="x") as caught, governance(team="growth"):
            raise error
        assert caught.value is error
        assert team() == "checkout"


def test_the_block_keeps_what_else_is_in_the_context():
    key = context.create_key("key")
    token = context.attach(context.set_value(key, "value"))
    with governance(team="checkout"):
        assert context.get_value(key) == "value"
    context.detach(token)


async def test_an_async_block_is_the_same_block():
    async with governance(team="checkout") as block:
        await asyncio.sleep(0)
        assert team() == "checkout"
        async with block:
            assert team() == "checkout"
    assert team() is None


def test_an_instance_may_be_entered_inside_itself():
    block = governance(team="checkout")
    with block:
        with block:
            assert team() == "checkout"
        assert team() == "checkout"
    assert team() is None


def test_an_instance_takes_on_the_surroundings_of_each_block():
    refund = governance(feature="refund")
    for customer in ("acme", "initech", "acme"):
        with governance(customer_id=customer), refund:
            assert attribution_in() == Attribution(customer_id=customer, feature="refund")


async def test_one_instance_serves_many_tasks_at_once():
    shared = governance(team="checkout")

    async def work(delay):
        with governance(customer_id=f"c{delay}"):
            with shared:
                for _ in range(delay):
                    await asyncio.sleep(0)
                assert attribution_in() == Attribution(team="checkout", customer_id=f"c{delay}")
            return attribution_in()

    owners = await asyncio.gather(*(work(delay % 7) for delay in range(50)))
    assert owners == [Attribution(customer_id=f"c{delay % 7}") for delay in range(50)]


def test_one_instance_serves_many_threads_at_once():
    shared = governance(team="checkout")
    start = threading.Barrier(4)

    def work(number):
        start.wait()
        for _ in range(200):
            with governance(customer_id=f"c{number}"), shared:
                assert attribution_in() == Attribution(team="checkout", customer_id=f"c{number}")
        return attribution_in()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [NOBODY] * 4


def test_blocks_may_be_left_through_an_exit_stack():
    with ExitStack() as stack:
        stack.enter_context(governance(team="checkout"))
        stack.enter_context(governance(project="shop"))
        assert attribution_in() == Attribution(team="checkout", project="shop")
    assert attribution_in() is NOBODY


def test_a_context_manager_made_of_a_generator_gives_its_block_to_its_body():
    @contextmanager
    def request(customer):
        with governance(customer_id=customer):
            yield

    with request("acme"):
        assert attribution_in().customer_id == "acme"
    assert attribution_in() is NOBODY


def test_a_block_that_ends_inside_a_later_one_takes_nothing_from_it_and_leaves_nothing_behind():
    def rows():
        with governance(feature="export"):
            yield 1
            yield 2

    generator = rows()
    next(generator)
    with governance(team="checkout"):
        assert list(generator) == [2]
        assert team() == "checkout"
    assert attribution_in() is NOBODY


def test_blocks_left_in_the_order_they_were_entered_leave_nothing_behind():
    first, second, third = governance(team="a"), governance(project="b"), governance(feature="cc")
    for block in (first, second, third):
        block.__enter__()
    for block in (first, second, third):
        block.__exit__(None, None, None)
    assert attribution_in() is NOBODY


def test_leaving_a_block_elsewhere_changes_nothing_there_and_is_remarked_on_once(caplog):
    block = governance(team="checkout")
    elsewhere = contextvars.copy_context()
    with governance(team="growth"):
        here = contextvars.copy_context()
        here.run(block.__enter__)
        for _ in range(2):
            elsewhere.run(block.__exit__, None, None, None)
        assert team() == "growth"
    assert elsewhere.run(team) is None
    assert messages(caplog) == [
        "Attribution: a governance block was left in another thread, task or context than it was entered in; where it "
        "was entered it stays in force. Leave it where it was entered; on a generator, use governance as a decorator"
    ]


def test_a_block_left_in_a_copy_of_its_context_ends_in_the_copy_alone(caplog):
    block = governance(project="shop")
    with governance(team="checkout"), block:
        copied = contextvars.copy_context()
        copied.run(block.__exit__, None, None, None)
        assert copied.run(attribution_in) == Attribution(team="checkout")
        assert attribution_in() == Attribution(team="checkout", project="shop")
    assert attribution_in() is NOBODY
    assert messages(caplog) == []


def test_a_block_may_be_entered_in_a_worker_that_copies_its_context_back_and_left_here(caplog):
    block = governance(team="checkout")
    worker = contextvars.copy_context()
    worker.run(block.__enter__)
    for variable in worker:  # what asgiref does after a synchronous view or middleware
        variable.set(worker[variable])
    assert team() == "checkout"
    block.__exit__(None, None, None)
    assert team() is None
    assert messages(caplog) == []


async def test_a_block_that_waits_for_a_later_one_is_not_upset_by_a_task_that_started_inside_it():
    async def work():
        with governance(feature="mail"):
            await go_on.wait()
        return attribution_in()

    go_on = asyncio.Event()
    first, second = governance(team="checkout"), governance(project="shop")
    first.__enter__()
    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    second.__enter__()
    first.__exit__(None, None, None)
    go_on.set()
    assert await task == Attribution(team="checkout")
    second.__exit__(None, None, None)
    assert attribution_in() is NOBODY


async def test_a_task_that_outlives_the_block_keeps_its_owner(caplog):
    async def background():
        with governance(feature="mail"):
            await left.wait()
            assert attribution_in() == Attribution(team="checkout", feature="mail")
        return attribution_in()

    left = asyncio.Event()
    with governance(team="checkout"):
        task = asyncio.create_task(background())
        await asyncio.sleep(0)
    assert attribution_in() is NOBODY
    left.set()
    assert await task == Attribution(team="checkout")
    assert messages(caplog) == []


async def test_tasks_that_start_their_successor_inside_a_block_keep_nothing_of_their_predecessors():
    alive = []

    class Marked(governance):
        pass

    async def generation(number):
        block = Marked(team="checkout")
        alive.append(weakref.ref(block))
        with block:
            if number:
                successor = asyncio.create_task(generation(number - 1))
                await asyncio.sleep(0)  # the successor enters its block before this one is left
        return successor if number else None

    task = await generation(20)
    while task is not None:
        task = await task
        gc.collect()
    assert sum(block() is not None for block in alive) <= 2


@pytest.mark.parametrize("fields", [{"tema"}, ["team", "tema"], "tema"])
def test_baggage_names_only_fields_that_exist(fields):
    with pytest.raises(GenOpsValidationError, match=r"tema is not a field; the fields are team, project, .* and tags"):
        governance(team="checkout", baggage=fields)


def test_an_unknown_field_is_refused():
    with pytest.raises(TypeError, match="tema"):
        governance(tema="checkout")
