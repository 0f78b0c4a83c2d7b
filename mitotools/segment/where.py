"""Conditions on the columns of a table, as ``--where`` takes them: parsed, never evaluated as Python.

The grammar is a part of Python's, which gives the parser: comparisons, which may be chained, of arithmetic
over names and numbers, joined by ``and``, ``or`` and ``not``. Whatever else Python has is refused.
"""

from __future__ import annotations

import ast
import operator
import warnings
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from mitotools.errors import InputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mitotools.conventions import Array
    from mitotools.segment.blockwise.places import Flags

MOST_CHARACTERS = 1000
MOST_LEVELS = 50
"""How deep an expression may be nested: Python's own parser gives up far beyond."""

_OPTION = "--where"
_PARTS = "A condition has names, numbers, + - * / %, comparisons, and, or, not and parentheses"

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}
_SIGNS: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_JOINED: dict[type[ast.boolop], Callable[[Any, Any], Any]] = {ast.And: np.logical_and, ast.Or: np.logical_or}


@dataclass(frozen=True)
class Condition:
    """A condition that has been parsed.

    Parameters
    ----------
    text : str
        As it was given.
    tree : ast.expr
        Made of the allowed parts alone.
    """

    text: str
    tree: ast.expr

    @property
    def names(self) -> frozenset[str]:
        """The columns that it looks at."""
        return frozenset(node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name))

    def holds(self, columns: Mapping[str, Array | None]) -> Flags:
        """Return for which rows of a table the condition holds.

        Parameters
        ----------
        columns : mapping of str to (N,) array of numbers or bool, or None
            None where values are unknown, because the voxel size is.

        Returns
        -------
        (N,) bool
            Arithmetic is that of float64; columns and numbers that are only compared are compared as they
            are. What is undefined, as 0 / 0, fulfils no comparison but ``!=``.

        Raises
        ------
        UsageError
            Where a name is none of the columns, or a number stands for a condition.
        InputError
            Where a column is None.
        """
        with np.errstate(all="ignore"):
            found = _truth(self.tree, columns)
        rows = next((len(column) for column in columns.values() if column is not None), 0)
        return np.broadcast_to(found, (rows,))


def parsed(text: str) -> Condition:
    """Return a condition.

    Parameters
    ----------
    text : str
        For instance ``voxels >= 2000 and not touches_border``.

    Raises
    ------
    UsageError
        Where it is none.
    """
    if len(text) > MOST_CHARACTERS:
        raise _refused(f"the condition is longer than {MOST_CHARACTERS} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # "1and 2", which Python will not take for ever
            tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise _refused(f"{text!r} is no condition ({error.msg})") from error
    except (ValueError, RecursionError, MemoryError) as error:  # a null character; thousands of brackets
        raise _refused("the condition cannot be read") from error
    _check(tree, text, MOST_LEVELS)
    return Condition(text, tree)


def _check(node: ast.expr, text: str, levels: int) -> None:
    """Refuse all that is not in the grammar."""
    if levels == 0:
        raise _refused(f"the condition is nested more than {MOST_LEVELS} deep")
    if not _is_allowed(node):
        raise _refused(f"{_source(text, node)!r} is nothing that a condition may have")
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            _check(child, text, levels - 1)


def _is_allowed(node: ast.expr) -> bool:
    match node:
        case ast.Name() | ast.BoolOp():
            return True
        case ast.Constant(value=int() | float() as value):
            return not isinstance(value, bool) and abs(value) < 2**64
        case ast.BinOp(op=op):
            return type(op) in _ARITHMETIC
        case ast.UnaryOp(op=sign):
            return isinstance(sign, ast.Not) or type(sign) in _SIGNS
        case ast.Compare(ops=ops):
            return all(type(op) in _COMPARISONS for op in ops)
    return False


def _truth(node: ast.expr, columns: Mapping[str, Array | None]) -> Any:
    """Return where a condition holds."""
    match node:
        case ast.BoolOp(op=op, values=values):
            return reduce(_JOINED[type(op)], [_truth(value, columns) for value in values])
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return np.logical_not(_truth(operand, columns))
        case ast.Compare(left=left, ops=ops, comparators=others):
            sides = [_value(side, columns) for side in (left, *others)]
            pairs = zip(ops, sides[:-1], sides[1:], strict=True)
            return reduce(np.logical_and, [_COMPARISONS[type(op)](a, b) for op, a, b in pairs])
        case ast.Name(id=name) if (column := _column(name, columns)).dtype == np.bool_:
            return column
    raise _refused(f"{ast.unparse(node)!r} is a number, not a condition", "Compare it with something")


def _value(node: ast.expr, columns: Mapping[str, Array | None]) -> Any:
    """Return what stands on one side of a comparison."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return _column(name, columns)
        case ast.BinOp(left=left, op=op, right=right):
            return _ARITHMETIC[type(op)](_number(left, columns), _number(right, columns))
        case ast.UnaryOp(op=sign, operand=operand) if type(sign) in _SIGNS:
            return _SIGNS[type(sign)](_number(operand, columns))
    return _truth(node, columns)


def _number(node: ast.expr, columns: Mapping[str, Array | None]) -> Any:
    """Return a value as float64, in which nothing wraps round."""
    return np.asarray(_value(node, columns), np.float64)


def _column(name: str, columns: Mapping[str, Array | None]) -> Array:
    if name not in columns:
        raise _refused(f"there is no column {name!r}", f"There is {', '.join(columns)}")
    column = columns[name]
    if column is None:
        why = f"{name} cannot be computed where the voxel size is unknown"
        raise InputError(_OPTION, why, "Give it with 'mitotools convert --voxel-size'")
    return column


def _source(text: str, node: ast.expr) -> str:
    return (ast.get_source_segment(text.strip(), node) or text)[:60]


def _refused(why: str, what_next: str = _PARTS) -> UsageError:
    return UsageError(_OPTION, why, what_next)
