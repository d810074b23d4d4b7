"""What counts as a good answer, and what a person reads whose own scorer is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.errors import RecipeError, RunError
from studio.recipe import Monitor
from studio.training.scorers import ScoringError, scorer_for, similarity


def _score(answer: str, expected: str = "", scorer: str = "exact_match", value: str = "") -> float:
    found = scorer_for(Monitor(scorer=scorer, scorer_value=value))
    assert found is not None
    return found(answer, expected, "the prompt")


@pytest.mark.parametrize(("scorer", "value", "answer", "expected", "score"), [
    ("exact_match", "", "Paris is\n nice ", "Paris is nice", 1),
    ("exact_match", "", "paris", "Paris", 0),
    ("exact_match", "", "<think>\nhm, Paris\n</think>\n\nParis", "Paris", 1),
    ("similarity", "", "a  b\nc", "a b c", 1),
    ("similarity", "", "abcd", "xbcy", 0.5),
    ("similarity", "", "one", "", 0),
    ("json_valid", "", ' {"a": [1, 2]} ', "", 1),
    ("json_valid", "", "[]", "", 1),
    ("json_valid", "", '{"a": 1', "", 0),
    ("json_valid", "", '{"a": NaN}', "", 0),
    ("json_valid", "", "12", "", 0),
    ("json_equal", "", '{"b": 2, "a": 1}', '{"a":1,"b":2}', 1),
    ("json_equal", "", '{"a": true}', '{"a": 1}', 0),
    ("json_equal", "", "no", "no", 0),
    ("contains", "Paris", "It is Paris.", "", 1),
    ("contains", "", "It is  Paris.", "is Paris", 1),
    ("contains", "Rome", "It is Paris.", "Rome", 0),
    ("regex", r"^\d{4}$", "2024", "", 1),
    ("regex", r"(?i)PARIS", "It is Paris.", "", 1),
    ("regex", r"^\d{4}$", "in 2024", "", 0),
])
def test_each_scorer_tells_a_good_answer_from_a_bad_one(
    scorer: str, value: str, answer: str, expected: str, score: float
) -> None:
    assert _score(answer, expected, scorer, value) == score


def test_the_nearer_of_two_answers_is_more_like_the_expected_one() -> None:
    expected = '{"item": "pizza", "quantity": 2}'
    near, far = '{"item": "pizza"}', "Sure, here are two pizzas for you!"
    assert 1 > similarity(near, expected) > similarity(far, expected) > 0


def test_no_scorer_scores_nothing() -> None:
    assert scorer_for(Monitor()) is None


def test_a_pattern_that_is_none_is_a_mistake_in_the_recipe() -> None:
    with pytest.raises(RecipeError, match="no regular expression"):
        scorer_for(Monitor(scorer="regex", scorer_value="(open"))


def _own(folder: Path, text: str) -> str:
    path = folder / "mine.py"
    path.write_text(text, encoding="utf-8")
    return f"{path}:score"


def test_a_function_of_ones_own_gets_answer_expected_and_prompt(tmp_path: Path) -> None:
    own = _own(tmp_path, "def score(answer, expected, prompt):\n"
                         "    return 0.5 if prompt == 'the prompt' and answer in expected else 0\n")
    assert _score("a", "abc", "python", own) == 0.5
    assert _score("x", "abc", "python", own) == 0


def test_a_file_that_uses_dataclasses_loads(tmp_path: Path) -> None:
    own = _own(tmp_path, "from __future__ import annotations\nimport dataclasses\n"
                         "@dataclasses.dataclass\nclass Grade:\n    value: float\n"
                         "def score(answer, expected, prompt):\n    return Grade(1.0).value\n")
    assert _score("a", "a", "python", own) == 1


@pytest.mark.parametrize(("text", "told"), [
    ("def score(answer, expected, prompt):\n    return answer[99]\n", "line 2: score broke"),
    ("import sys\ndef score(answer, expected, prompt):\n    sys.exit(3)\n", "line 3: score broke"),
    ("def score(answer, expected, prompt):\n    return 7\n", "gave 7, which is no number"),
    ("def score(answer, expected, prompt):\n    return 'good'\n", "gave 'good'"),
    ("def score(answer, expected, prompt):\n    return float('nan')\n", "gave nan"),
    ("def score(answer):\n    return 1\n", "TypeError"),
])
def test_a_mistake_on_one_answer_names_file_and_line(
    tmp_path: Path, text: str, told: str
) -> None:
    own = _own(tmp_path, text)
    with pytest.raises(ScoringError) as caught:
        _score("a", "b", "python", own)
    assert told in str(caught.value) and "mine.py" in str(caught.value)


@pytest.mark.parametrize(("text", "told"), [
    ("def other():\n    pass\n", "has no function score"),
    ("x = 1\ndef score(:\n", "line 2"),
    ("x = 1\nimport nothing_of_this_name\n", "line 2"),
])
def test_a_file_that_cannot_be_used_is_told_before_anything_is_asked(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(RunError, match=told):
        scorer_for(Monitor(scorer="python", scorer_value=_own(tmp_path, text)))


@pytest.mark.parametrize("named", ["mine.py", "mine:score", "mine.py:not a name", "C:\\mine.py"])
def test_what_names_no_function_is_told_with_an_example(named: str) -> None:
    with pytest.raises(RecipeError, match=r"my_scorers\.py:score"):
        scorer_for(Monitor(scorer="python", scorer_value=named))


def test_a_missing_file_is_told_with_its_whole_path(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        scorer_for(Monitor(scorer="python", scorer_value=f"{tmp_path / 'gone.py'}:score"))
    assert str(tmp_path / "gone.py") in caught.value.message
