"""What compiled code says of objects is what Python says of them."""

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from adamax_fused.objects import are_items, look_up

FIELDS = ("one", "two")
VALUES = (object(), object())


def address(function: Any) -> int:
    value = ctypes.cast(function, ctypes.c_void_p).value
    assert value is not None
    return value


def ids(objects: Any) -> npt.NDArray[np.int64]:
    return np.array([*map(id, objects)], np.int64)


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.lists(st.integers())), st.lists(st.integers(0, 3)))
def test_answers_are_those_of_the_function_and_what_changed_is_counted(
    lists: list[list[int]], last: list[int]
) -> None:
    before = np.array([*last, *[0] * len(lists)][: len(lists)], np.int64)
    answers = before.copy()
    changed = look_up(address(ctypes.pythonapi.PyList_Size), ids(lists), answers)
    assert answers.tolist() == [*map(len, lists)]
    assert changed == sum(answers != before)


SLOTS: st.SearchStrategy[Any] = st.one_of(
    st.dictionaries(st.sampled_from([*FIELDS, "three"]), st.sampled_from(VALUES)),
    st.sampled_from([None, [], "one"]),
    st.just(dict(zip(FIELDS, VALUES, strict=True))),
)


@settings(deadline=None)  # the first call compiles
@given(st.lists(SLOTS, max_size=4), st.data())
def test_items_are_known_where_keys_and_every_field_are_the_same_objects(
    slots: list[Any], data: st.DataObject
) -> None:
    keys = [object() for _ in slots]
    others = [*keys, object()]
    places: list[int] = data.draw(st.lists(st.integers(0, len(slots)), max_size=4))
    params: tuple[Any, ...] = data.draw(st.tuples(*[st.sampled_from(others)] * len(places)))
    same: bool = data.draw(st.booleans())
    if same:
        params = tuple(others[place] for place in places)
    rows = [(others[place], *VALUES) for place in places]
    expected = all(
        place < len(keys)
        and param is keys[place]
        and isinstance(slots[place], dict)
        and all(slots[place].get(name) is value for name, value in zip(FIELDS, VALUES, strict=True))
        for place, param in zip(places, params, strict=True)
    )
    known = np.array([ids(row) for row in rows], np.int64).reshape(-1, 3)
    get_item = address(ctypes.pythonapi.PyDict_GetItem)
    arguments = ids(FIELDS), ids(params), np.array(places, np.int64), ids(keys), ids(slots)
    assert are_items(get_item, *arguments, known) == expected


def test_an_item_of_another_name_is_another() -> None:
    key, slot = object(), dict(zip(reversed(FIELDS), VALUES, strict=True))
    known = np.array([ids((key, *VALUES))])
    get_item = address(ctypes.pythonapi.PyDict_GetItem)
    assert not are_items(
        get_item, ids(FIELDS), ids([key]), np.zeros(1, np.int64), ids([key]), ids([slot]), known
    )
