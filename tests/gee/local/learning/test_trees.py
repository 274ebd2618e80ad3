"""The text of decision trees: read as rpart prints it, refused line by line where it is malformed."""

from __future__ import annotations

import time

import numpy as np
import pytest

from gee.local.errors import EngineError
from gee.local.learning.trees import Arrays, forest_of, planted

# As R prints an rpart object: 3 classes, splits with < and >=, the left child not always the smaller side.
RPART = """n= 105

node), split, n, loss, yval, (yprob)
      * denotes terminal node

1) root 105 70 0 (0.33333333 0.33333333 0.33333333)
  2) length< 2.6 35  0 0 (1.00000000 0.00000000 0.00000000) *
  3) length>=2.6 70 35 1 (0.00000000 0.50000000 0.50000000)
    6) width>=1.75 36  2 2 (0.00000000 0.05555556 0.94444444) *
    7) width< 1.75 34  1 1 (0.00000000 0.97058824 0.02941176) *
"""
# As geemap writes a regression tree: no legend, spaces around the sign, 9999 for what it does not know.
GEEMAP = """1) root 55 9999 9999 (147.25973519669316)
  2) STR <= 1.677856 6 8.7500 -20.0 *
  3) STR > 1.677856 55 60.2441 -3.885714
    6) NIR <= 0.177952 13 30.6582 3.357143 *
    7) NIR > 0.177952 36 18.5482 -3.3125 *
"""


def test_a_tree_printed_by_rpart_is_read_with_either_side_first():
    forest = forest_of([RPART])
    assert forest.names == ("length", "width")
    rows = np.array([[2.5, 9.0], [2.6, 1.75], [2.6, 1.7499], [9.0, 0.0], [-1.0, 0.0]])
    assert forest.mean(rows).tolist() == [0, 2, 1, 1, 0]


def test_a_tree_written_by_geemap_is_read():
    forest = forest_of([GEEMAP])
    assert forest.names == ("STR", "NIR")
    rows = np.array([[1.677856, 0], [1.677857, 0.177952], [5, 0.2]])
    assert forest.mean(rows).tolist() == [-20.0, 3.357143, -3.3125]


def test_the_sign_decides_where_a_row_on_the_threshold_goes():
    for less, more, at_the_threshold in (("<", ">=", 2), ("<=", ">", 1)):
        forest = forest_of([f"1) root 2 1 0\n2) x{less}0.1 1 0 1 *\n3) x{more}0.1 1 0 2 *\n"])
        rows = np.array([[np.nextafter(0.1, 0)], [0.1], [np.nextafter(0.1, 1)]])
        assert forest.mean(rows).tolist() == [1, at_the_threshold, 2]


def test_a_text_may_hold_several_trees_and_a_tree_may_be_one_leaf():
    forest = forest_of([RPART + "\n" + RPART, "1) root 3 0 7 *"])
    assert forest.roots.size == 3
    assert forest.mean(np.array([[1.0, 1.0]])).tolist() == [pytest.approx(7 / 3)]
    assert forest_of(["1) root 3 0 7 *"]).mean(np.empty((2, 0))).tolist() == [7, 7]


ROOT = "1) root 9 9 0\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # geemap's numbering of gee-community/geemap issue 2106, with the message Earth Engine gave.
        (
            ROOT + "2) a <= 1 9 9 0\n4) a <= 0.5 9 9 0\n3) a > 1 9 9 0 *\n",
            "Error parsing line 4: expected 8, got 3.",
        ),
        (ROOT + "2) a<=1 4 1 0 *\n", "Error parsing line 3: expected 3, got the end of the tree."),
        (
            ROOT + "2) a<=1 4 1 0 *\n3) a>2 4 1 0 *",
            "Error parsing line 3: a>2.0 is not the other side of a<=1.0.",
        ),
        (
            ROOT + "2) a<=1 4 1 0 *\n3) b>1 4 1 0 *",
            "Error parsing line 3: b>1.0 is not the other side of a<=1.0.",
        ),
        (
            ROOT + "2) a=x,y 4 1 0 *\n3) a=z 4 1 0 *",
            "Error parsing line 2: 'a=x,y 4 1 0 *' has no split on a number.",
        ),
        (ROOT + "2) a<=high 4 1 0 *\n", "Error parsing line 2: 'high' is no number."),
        (ROOT + "2) a<=1 4 1 grass *\n", "Error parsing line 2: 'grass' is no number."),
        (ROOT + "2) a<=1 4 *\n", "Error parsing line 2: expected n, loss and a value, got '4 *'."),
        (ROOT + "what\n", "Error parsing line 2: 'what' is no node."),
        ("1) a<=1 4 1 0 *", "Error parsing line 1: expected root, got a<=1."),
        ("2) a<=1 4 1 0 *", "Error parsing line 1: expected 1, got 2."),
        ("n= 105\n", "The text contains no decision tree."),
        ("", "The text contains no decision tree."),
    ],
)
def test_malformed_text_is_refused_with_its_line(text, message):
    with pytest.raises(EngineError) as refused:
        forest_of([text])
    assert refused.value.message == message


def test_no_text_is_no_forest():
    with pytest.raises(EngineError, match="at least one decision tree"):
        forest_of([])


def test_a_deep_tree_is_read_without_recursion():
    depth = 3000
    lines = ["1) root 1 1 0"]
    number = 1
    for step in range(depth):
        lines.append(f"{2 * number}) x<={step} 1 1 {step} *")
        number = 2 * number + 1
        lines.append(f"{number}) x>{step} 1 1 0" + (" *" if step == depth - 1 else ""))
    forest = forest_of(["\n".join(lines)])
    assert forest.mean(np.array([[1234.5], [-1.0], [1e9]])).tolist() == [1235, 0, 0]


def test_nan_goes_to_the_side_whose_condition_fails():
    assert forest_of(["1) root 2 1 0\n2) x<=0 1 0 1 *\n3) x>0 1 0 2 *"]).mean(
        np.array([[np.nan]])
    ).tolist() == [2]


def test_the_majority_is_the_value_of_most_trees_and_the_smallest_of_equals():
    texts = [f"1) root 1 0 {value} *" for value in (5, 3, 5, 3, 9)]
    forest = forest_of(texts)
    rows = np.zeros((1, 0))
    classes = forest.leaf_values
    assert classes.tolist() == [3, 5, 9]
    winner, share = forest.majority(rows, classes)
    assert (winner.tolist(), share.tolist()) == ([3], [2 / 5])
    assert forest.votes(rows, classes).tolist() == [[2, 2, 1]]
    assert forest.values(rows).tolist() == [[5, 3, 5, 3, 9]]


def test_a_thousand_trees_of_depth_8_over_a_tile_take_seconds():
    depth, inputs, generator = 8, 15, np.random.default_rng(0)
    inner, size = 2**depth - 1, 2 ** (depth + 1) - 1
    nodes = np.arange(size)
    trees = [
        Arrays(
            generator.integers(0, inputs, size),
            generator.random(size),
            np.where(nodes < inner, 2 * nodes + 1, -1),
            np.where(nodes < inner, 2 * nodes + 2, -1),
            generator.random(size),
            depth,
        )
        for _ in range(1000)
    ]
    forest = planted(trees, [f"x{place}" for place in range(inputs)])
    rows = generator.random((256 * 256, inputs))
    forest.mean(rows[:1])  # compiles
    started = time.process_time()
    found = forest.mean(rows)
    assert time.process_time() - started < 15  # 2.2 s where measured; the rest is for slower machines
    # A dozen rows walked node by node.
    for row, value in zip(rows[:12], found, strict=False):
        total = 0.0
        for tree in trees:
            node = 0
            while node < inner:
                node = 2 * node + (1 if row[tree.feature[node]] <= tree.threshold[node] else 2)
            total += tree.value[node]
        assert value == pytest.approx(total / 1000, rel=1e-12)
