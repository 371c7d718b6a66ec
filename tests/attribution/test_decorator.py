"""``@governance(...)`` on functions, coroutines and both kinds of generators: their own steps have the owner."""

from __future__ import annotations

import asyncio
import gc
import inspect
import weakref
from contextlib import contextmanager

import pytest
from opentelemetry import trace

from genops_otel_posthog.attribution import NOBODY, Attribution, attribution_in, governance

checkout = governance(team="checkout")


def team():
    return attribution_in().team


def test_a_function_runs_inside_the_block():
    @checkout
    def work(amount, *, currency):
        return team(), amount, currency

    assert work(1, currency="EUR") == ("checkout", 1, "EUR")
    assert team() is None


def test_a_function_that_raises_leaves_the_block():
    @checkout
    def work():
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        work()
    assert team() is None


def test_a_function_may_call_itself():
    @governance(tags={"depth": "x"})
    def work(depth):
        with governance(tags={f"at{depth}": "x"}):
            return work(depth - 1) if depth else dict(attribution_in().tags)

    assert work(2) == {"depth": "x", "at0": "x", "at1": "x", "at2": "x"}


class Shop:
    @checkout
    def method(self):
        return team()

    @staticmethod
    @checkout
    def static():
        return team()

    @classmethod
    @checkout
    def of_class(cls):
        return cls, team()

    @property
    @checkout
    def attribute(self):
        return team()


def test_methods_of_every_kind_run_inside_the_block():
    shop = Shop()
    assert shop.method() == "checkout"
    assert Shop.static() == shop.static() == "checkout"
    assert Shop.of_class() == (Shop, "checkout")
    assert shop.attribute == "checkout"


@pytest.mark.parametrize(
    "thing",
    [Shop, staticmethod(len), classmethod(len), property(len), "work", None],
    ids=lambda thing: type(thing).__name__,
)
def test_what_is_not_a_function_is_refused(thing):
    with pytest.raises(TypeError, match=r"@governance\(\.\.\.\) decorates functions and methods, not "):
        checkout(thing)


def test_a_decorated_function_keeps_its_kind_its_name_and_its_signature():
    def function(a: int) -> int:
        """Adds nothing."""
        return a

    async def coroutine(a): ...

    def generator(a):
        yield a

    async def async_generator(a):
        yield a

    for original in (function, coroutine, generator, async_generator):
        governed = checkout(original)
        for is_of_kind in (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
            assert is_of_kind(governed) == is_of_kind(original)
        assert (governed.__name__, governed.__doc__) == (original.__name__, original.__doc__)
        assert inspect.signature(governed) == inspect.signature(original)


async def test_a_coroutine_runs_inside_the_block_across_its_awaits():
    @checkout
    async def work():
        before = team()
        await asyncio.sleep(0)
        return before, team()

    assert await work() == ("checkout", "checkout")
    assert team() is None


async def test_a_cancelled_coroutine_leaves_the_block():
    @checkout
    async def work():
        await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(work(), 0)
    assert team() is None


async def test_one_decorated_coroutine_runs_in_many_tasks_at_once():
    @checkout
    async def work(customer):
        with governance(customer_id=customer):
            await asyncio.sleep(0)
            return attribution_in()

    owners = await asyncio.gather(*(work(f"c{number}") for number in range(20)))
    assert owners == [Attribution(team="checkout", customer_id=f"c{number}") for number in range(20)]


# -- generators ------------------------------------------------------------------------------------------------------


def test_a_generator_has_the_owner_in_its_steps_and_its_consumer_does_not():
    @checkout
    def rows():
        yield team()
        yield team()

    seen = []
    with governance(team="consumer"):
        for row in rows():
            seen.append((row, team()))
    assert seen == [("checkout", "consumer")] * 2
    assert team() is None


def test_a_generator_has_the_surroundings_of_the_consumer_that_asks():
    @checkout
    def rows():
        while True:
            yield attribution_in()

    generator = rows()
    for customer in ("acme", "initech"):
        with governance(customer_id=customer):
            assert next(generator) == Attribution(team="checkout", customer_id=customer)
    assert next(generator) == Attribution(team="checkout")


def test_a_generator_receives_what_is_sent_and_returns_its_value():
    @checkout
    def sums():
        total = 0
        while (number := (yield total, team())) is not None:
            total += number
        return total, team()

    def consumer():
        return (yield from sums())

    generator = consumer()
    assert generator.send(None) == (0, "checkout")
    assert generator.send(3) == (3, "checkout")
    assert generator.send(4) == (7, "checkout")
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == (7, "checkout")
    assert team() is None


def test_a_generator_may_catch_what_is_thrown_into_it_and_go_on():
    @checkout
    def patient():
        try:
            yield 1
        except ValueError as error:
            yield str(error), team()

    generator = patient()
    next(generator)
    assert generator.throw(ValueError("x")) == ("x", "checkout")
    assert list(generator) == []


def test_what_a_generator_raises_reaches_the_consumer_itself():
    error = ValueError("x")

    @checkout
    def failing():
        yield 1
        raise error

    generator = failing()
    next(generator)
    with pytest.raises(ValueError, match="x") as caught:
        next(generator)
    assert caught.value is error
    assert caught.value.__context__ is None
    assert team() is None


def test_what_is_thrown_into_a_generator_that_does_not_catch_it_comes_back_as_it_was():
    @checkout
    def rows():
        yield 1

    generator = rows()
    next(generator)
    error = KeyError("x")
    with pytest.raises(KeyError) as caught:
        generator.throw(error)
    assert caught.value is error


def test_closing_a_generator_early_runs_its_clean_up_inside_the_block():
    seen = []

    @checkout
    def rows():
        try:
            yield 1
        finally:
            seen.append(team())

    generator = rows()
    next(generator)
    generator.close()
    assert seen == ["checkout"]
    assert list(generator) == []


def test_an_abandoned_generator_is_cleaned_up_inside_the_block():
    seen = []

    @checkout
    def rows():
        try:
            yield 1
        finally:
            seen.append(team())

    for _ in rows():
        break
    gc.collect()
    assert seen == ["checkout"]
    assert team() is None


def test_a_generator_that_will_not_close_is_told_so_as_without_the_decorator():
    @checkout
    def stubborn():
        try:
            yield 1
        except GeneratorExit:
            yield 2

    generator = stubborn()
    next(generator)
    with pytest.raises(RuntimeError, match="generator ignored GeneratorExit"):
        generator.close()


def test_a_span_around_a_yield_is_still_current_in_the_next_step_and_never_at_the_consumer(tracer):
    @checkout
    def rows():
        with tracer.start_as_current_span("export"):
            yield trace.get_current_span().name, team()
            yield trace.get_current_span().name, team()
        yield trace.get_current_span().name, team()

    seen = []
    with tracer.start_as_current_span("request"):
        for row in rows():
            seen.append((row, trace.get_current_span().name))
    assert seen == [
        (("export", "checkout"), "request"),
        (("export", "checkout"), "request"),
        (("request", "checkout"), "request"),
    ]


def test_after_its_own_span_a_generator_follows_the_consumer_again(tracer):
    @checkout
    def rows():
        with tracer.start_as_current_span("export"):
            yield
        while True:
            yield attribution_in()

    generator = rows()
    next(generator)
    next(generator)
    with governance(customer_id="acme"):
        assert next(generator) == Attribution(team="checkout", customer_id="acme")


def test_the_generator_keeps_no_exception_alive():
    class Trouble(Exception):
        pass

    @checkout
    def rows():
        yield 1

    def provoke():
        generator = rows()
        next(generator)
        try:
            generator.throw(Trouble())
        except Trouble as error:
            return weakref.ref(error)

    gc.collect()
    gc.disable()
    try:
        assert provoke()() is None
    finally:
        gc.enable()


def test_on_the_generator_of_a_context_manager_the_decorator_leaves_the_body_out():
    @contextmanager
    @checkout
    def transaction():
        entered.append(team())
        yield
        entered.append(team())

    entered = []
    with transaction():
        assert attribution_in() is NOBODY
    assert entered == ["checkout", "checkout"]


# -- asynchronous generators -----------------------------------------------------------------------------------------


async def test_an_async_generator_has_the_owner_in_its_steps_and_its_consumer_does_not():
    @checkout
    async def rows():
        yield team()
        await asyncio.sleep(0)
        yield team()

    seen = []
    with governance(team="consumer"):
        async for row in rows():
            await asyncio.sleep(0)
            seen.append((row, team()))
    assert seen == [("checkout", "consumer")] * 2
    assert team() is None


async def test_an_async_generator_receives_what_is_sent_and_thrown():
    @checkout
    async def patient():
        received = yield 0
        try:
            yield received, team()
        except ValueError as error:
            await asyncio.sleep(0)
            yield str(error), team()

    generator = patient()
    assert await generator.asend(None) == 0
    assert await generator.asend(7) == (7, "checkout")
    assert await generator.athrow(ValueError("x")) == ("x", "checkout")
    assert [row async for row in generator] == []


async def test_what_an_async_generator_raises_reaches_the_consumer_itself():
    error = ValueError("x")

    @checkout
    async def failing():
        yield 1
        raise error

    with pytest.raises(ValueError, match="x") as caught:
        async for _ in failing():
            pass
    assert caught.value is error
    assert team() is None


async def test_closing_an_async_generator_early_runs_its_clean_up_inside_the_block():
    seen = []

    @checkout
    async def rows():
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            seen.append(team())

    generator = rows()
    await generator.asend(None)
    await generator.aclose()
    assert seen == ["checkout"]
    assert team() is None


async def test_an_async_generator_that_will_not_close_is_told_so_as_without_the_decorator():
    @checkout
    async def stubborn():
        try:
            yield 1
        except GeneratorExit:
            yield 2

    generator = stubborn()
    await generator.asend(None)
    with pytest.raises(RuntimeError, match="async generator ignored GeneratorExit"):
        await generator.aclose()


async def test_an_abandoned_async_generator_is_cleaned_up_inside_the_block(caplog):
    seen = []

    @checkout
    async def rows():
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            seen.append(team())

    async for _ in rows():
        break
    for _ in range(5):  # the event loop closes it in a task of its own
        await asyncio.sleep(0)
    assert seen == ["checkout"]
    assert caplog.records == []


async def test_a_span_around_an_asynchronous_yield_is_still_current_in_the_next_step(tracer):
    @checkout
    async def rows():
        with tracer.start_as_current_span("export"):
            yield trace.get_current_span().name
            await asyncio.sleep(0)
            yield trace.get_current_span().name

    with tracer.start_as_current_span("request"):
        seen = [(row, trace.get_current_span().name) async for row in rows()]
    assert seen == [("export", "request")] * 2


async def test_async_generators_of_many_tasks_do_not_see_each_other():
    @checkout
    async def rows():
        for _ in range(3):
            await asyncio.sleep(0)
            yield attribution_in()

    async def consume(customer):
        with governance(customer_id=customer):
            return [row async for row in rows()]

    found = await asyncio.gather(*(consume(f"c{number}") for number in range(10)))
    assert found == [[Attribution(team="checkout", customer_id=f"c{number}")] * 3 for number in range(10)]
