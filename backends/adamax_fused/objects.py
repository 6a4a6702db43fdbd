"""What compiled code can find out of Python objects, by functions of C, in nanoseconds each.

Nothing here lets go of the GIL. All arrays are int64, and a pointer to an object is its `id`; who
calls holds the objects. Like the kernel this needs no other file, since Numba does not notice the
change of another.
"""

from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic


@njit(cache=True)
def look_up(function: int, objects: Any, answers: Any) -> int:
    """Put what a C function says of each object where its last answers are.

    Args:
        function: address of a ``void *(*)(void *)`` that does not fail: there is nobody to tell.
        objects: ``(n,)`` pointers.
        answers: ``(n,)``; those of last time, which are overwritten.

    Returns:
        How many answers are others than last time.
    """
    changed = 0
    for index in range(objects.size):
        answer = _call(function, (objects[index],))
        changed += answer != answers[index]
        answers[index] = answer
    return changed


@njit(cache=True)
def are_items(
    get_item: int, names: Any, params: Any, places: Any, keys: Any, slots: Any, known: Any
) -> bool:
    """Whether parameters, and what is kept for them, are the objects that are known.

    Args:
        get_item: address of ``PyDict_GetItem``, which finds nothing in what is no dict.
        names: ``(k,)`` pointers to strings: the fields of a slot.
        params: ``(n,)`` pointers.
        places: ``(n,)``: which of the keys each parameter was.
        keys: ``(s,)`` pointers to parameters, in the order of the state.
        slots: ``(s,)`` pointers to their dicts.
        known: ``(n, 1 + k)`` pointers: parameter, and fields.
    """
    for row in range(places.size):
        place, param = places[row], known[row, 0]
        if params[row] != param or place >= keys.size or keys[place] != param:
            return False
        for field in range(names.size):
            if _call(get_item, (slots[place], names[field])) != known[row, 1 + field]:
                return False
    return True


@intrinsic
def _call(_: Any, function: Any, arguments: Any) -> Any:
    """Call a C function that takes pointers and returns one."""

    def generate(_: Any, builder: Any, __: Any, given: Any) -> Any:
        target, packed = given
        pointer = ir.IntType(8).as_pointer()
        pointers = [
            builder.inttoptr(builder.extract_value(packed, index), pointer)
            for index in range(len(arguments))
        ]
        kind = ir.FunctionType(ir.IntType(64), [pointer] * len(pointers)).as_pointer()
        return builder.call(builder.inttoptr(target, kind), pointers)

    return types.int64(function, arguments), generate
