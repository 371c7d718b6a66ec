"""Which blocks have been entered and not left yet, so that each can be left from anywhere and in any order.

A token of ``contextvars`` can be used only in the context and in the order in which it was made. Blocks are not always
left so: a generator's block may end inside its consumer's, a framework may enter a middleware in one thread and leave
it in another. A block left like that must take nothing from others and leave no owner behind.
"""

from __future__ import annotations

from contextvars import ContextVar, Token

from opentelemetry.context import Context, attach, detach

from genops_otel_posthog.attribution.clean import warn_once


class _Entry:
    """One entering of a block.

    Entries stand on each other. The context of a task or of ``copy_context()`` begins with the entries of the one it
    was copied from; there alone can they be taken off.
    """

    __slots__ = ("below", "block", "context_token", "entry_token", "gone", "left", "outer")

    context_token: Token[Context]
    entry_token: Token[_Entry | None]

    def __init__(self, block: object, below: _Entry | None, outer: Context) -> None:
        self.block = block
        self.below = below
        self.outer = outer
        self.left = False
        self.gone = False


_entered: ContextVar[_Entry | None] = ContextVar("genops_governance_entered", default=None)


def enter(block: object, outer: Context, inner: Context) -> None:
    """Makes ``inner`` the current context instead of ``outer`` until ``block`` is left."""
    entry = _Entry(block, _entered.get(), outer)
    entry.context_token = attach(inner)
    entry.entry_token = _entered.set(entry)


def leave(block: object) -> None:
    """Undoes the last :func:`enter` of ``block`` in this context. Where there is none, says so once."""
    entry = _entered.get()
    while entry is not None and (entry.block is not block or entry.left):
        entry = entry.below
    if entry is None:
        warn_once(
            "blocks",
            "Attribution: a governance block was left in another thread, task or context than it was entered in; where "
            "it was entered it stays in force. Leave it where it was entered; on a generator, use governance as a "
            "decorator",
        )
    else:
        entry.left = True
        _take_off_what_was_left(entry)


def _take_off_what_was_left(just_left: _Entry) -> None:
    """Restores the context from before the topmost entries that have been left.

    An entry that is left while a later one stands on it (a generator's block that ends inside its consumer's) waits for
    that one, because restoring the context from before it would end the later one as well.
    """
    entry = _entered.get()
    while entry is not None and entry.left and not entry.gone:
        below = entry.below
        try:
            _entered.reset(entry.entry_token)
        except ValueError:  # this context is a copy of the one in which the block was entered
            if entry is just_left:
                # It ends here; there it is still to end.
                entry.left = False
                _entered.set(below)
                attach(entry.outer)
            return
        detach(entry.context_token)
        entry.gone = True
        # A copy may hold the entry for long. It needs neither the contexts before it nor the entries below.
        entry.below = None
        del entry.context_token, entry.entry_token, entry.outer
        entry = below
