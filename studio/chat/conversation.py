"""A conversation with several columns: what was asked, and what each of them answered. Pure.

Every column reads its own side only: the prompts and its own answers. Nothing here computes or
writes files; `saved.py` keeps a conversation, a session answers it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from studio.chat.context import ContextUse
from studio.chat.scoring import AnswerScore
from studio.errors import DataError
from studio.models.thoughts import Thoughtful, split_thought
from studio.progress import Step

if TYPE_CHECKING:
    from studio.chat.prompt import Message
    from studio.chat.turn import Turn


@dataclass(frozen=True)
class Answer:
    """What one column wrote, once. `ending` is empty while it still writes.

    `seed` is what it was drawn with. `opening` is the tag of a thought that the chat template
    began, so that `text` goes on inside it. `score` is there once somebody had it measured.
    """

    text: str = ""
    tokens: int = 0
    tokens_per_second: float | None = None
    ending: str = ""
    seed: int | None = None
    prompt_tokens: int = 0
    context_tokens: int | None = None
    opening: str = ""
    seconds_to_first_token: float | None = None
    score: AnswerScore | None = None

    @classmethod
    def of(cls, turn: Turn, seed: int | None = None) -> Answer:
        """What a session's `turn` holds right now."""
        return cls(turn.text, turn.tokens, turn.tokens_per_second, turn.ending, seed,
                   turn.prompt_tokens, turn.context_tokens, turn.opening,
                   turn.seconds_to_first_token)

    @property
    def parts(self) -> Thoughtful:
        """The thought and the answer proper."""
        return split_thought(self.whole_text)

    @property
    def whole_text(self) -> str:
        """With the tag of a thought that the template began."""
        return self.opening + self.text

    @property
    def is_begun(self) -> bool:
        """Whether the column has written or ended."""
        return bool(self.text or self.ending)


@dataclass(frozen=True)
class Tries:
    """All that one column answered to one prompt, oldest first; `chosen` counts from 0."""

    answers: tuple[Answer, ...] = (Answer(),)
    chosen: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.chosen < len(self.answers):
            raise ValueError(f"answer {self.chosen} of {len(self.answers)} is chosen")

    @property
    def answer(self) -> Answer:
        """The one that the conversation goes on with."""
        return self.answers[self.chosen]

    def with_answer(self, answer: Answer) -> Tries:
        """With the chosen one replaced, as it grows."""
        return replace(self, answers=(*self.answers[:self.chosen], answer,
                                      *self.answers[self.chosen + 1:]))

    def with_another(self) -> Tries:
        """With an empty answer more, which is the chosen one."""
        begun = self.begun()
        kept = begun.answers if begun.answer.is_begun else ()
        return Tries((*kept, Answer()), len(kept))

    def begun(self) -> Tries:
        """Without the answers that nothing was written of; one remains in any case."""
        kept = tuple(one for one in self.answers if one.is_begun)
        if len(kept) == len(self.answers):
            return self
        # Only the newest can be without a word.
        return Tries(kept, min(self.chosen, len(kept) - 1)) if kept else Tries()


@dataclass(frozen=True)
class Exchange:
    """One prompt and what each column answered, in order; and the error of the last attempt."""

    prompt: str
    columns: dict[str, Tries] = field(default_factory=dict)
    error: tuple[str, str] | None = None

    @property
    def answers(self) -> dict[str, Answer]:
        """The chosen answer of each column."""
        return {name: tries.answer for name, tries in self.columns.items()}

    @property
    def is_answered(self) -> bool:
        """Whether any column has written something that counts."""
        return any(answer.is_begun for answer in self.answers.values())


@dataclass(frozen=True)
class Conversation:
    """All exchanges, oldest first. `loading` is set while the model is being loaded.

    Turns are counted from 1. Methods that name a turn or a column that is not there raise
    DataError.
    """

    exchanges: tuple[Exchange, ...] = ()
    loading: Step | None = None

    def asked(self, prompt: str, columns: Iterable[str]) -> Conversation:
        """With a new prompt that nobody has answered; earlier ones that failed are dropped."""
        asked = Exchange(prompt, {name: Tries() for name in columns})
        return Conversation((*self.answered().exchanges, asked))

    def answered(self) -> Conversation:
        """Without prompts that nobody answered and without errors: what is worth keeping."""
        return Conversation(tuple(
            replace(one, columns={name: tries.begun() for name, tries in one.columns.items()},
                    error=None)
            for one in self.exchanges if one.is_answered))

    def edited(self, turn: int, prompt: str, columns: Iterable[str]) -> Conversation:
        """With another prompt at `turn`, to be answered anew; it and all that followed is cut."""
        self._exchange(turn)
        return Conversation(self.exchanges[:turn - 1]).asked(prompt, columns)

    def again(self, columns: Iterable[str] | None = None) -> Conversation:
        """The last prompt once more, in all its columns or in these; earlier answers are kept."""
        last = self._exchange(len(self.exchanges))
        wanted = list(last.columns if columns is None else columns)
        tries = dict(last.columns)
        for name in wanted:
            tries[name] = tries[name].with_another() if name in tries else Tries()
        return self._with(len(self.exchanges), replace(last, columns=tries, error=None))

    def choose(self, turn: int, column: str, number: int) -> Conversation:
        """Go on with answer `number`, counted from 1, of those that `column` gave at `turn`.

        Later answers of the column were written behind another one and stay as they are.
        """
        exchange = self._exchange(turn)
        tries = exchange.columns.get(column)
        count = 0 if tries is None else len(tries.answers)
        if tries is None or not 1 <= number <= count:
            raise DataError(f"{column} has {count} answers to turn {turn}, so there is no answer "
                            f"{number}.", "Choose another answer.")
        columns = {**exchange.columns, column: replace(tries, chosen=number - 1)}
        return self._with(turn, replace(exchange, columns=columns))

    def with_last(self, answers: dict[str, Answer] | None = None,
                  error: tuple[str, str] | None = None) -> Conversation:
        """With the last exchange answered so far, in the columns given, or failed.

        An error takes away the answers that were just asked for and not begun.
        """
        last = self._exchange(len(self.exchanges))
        tries = {name: one.with_answer(answers[name]) if answers and name in answers else one
                 for name, one in last.columns.items()}
        if error is not None:
            tries = {name: one.begun() for name, one in tries.items()}
        return self._with(len(self.exchanges), replace(last, columns=tries, error=error))

    def stopped(self) -> Conversation:
        """As it stays when nobody goes on writing it: answers that were begun have ended."""
        if not self.exchanges:
            return self
        answers = self.exchanges[-1].answers
        return self.with_last({name: replace(answer, ending="stopped")
                               for name, answer in answers.items()
                               if answer.text and not answer.ending})

    def history(self, column: str, system: str) -> list[Message]:
        """What `column` reads: the turns that it answered itself, and the last prompt.

        Thoughts are in it, tags and all; `prompt_ids` leaves out those that its template drops.
        """
        last = self._exchange(len(self.exchanges))
        return [*self._turns(self.exchanges[:-1], column, system),
                {"role": "user", "content": last.prompt}]

    def side(self, column: str, system: str) -> list[Message]:
        """The conversation as `column` had it, its last answer included."""
        return self._turns(self.exchanges, column, system)

    @property
    def columns(self) -> list[str]:
        """Names of all columns that answered any prompt, in the order in which they came."""
        return list(dict.fromkeys(name for one in self.exchanges for name in one.columns))

    @property
    def latest_seed(self) -> int | None:
        """The highest seed that the last prompt was answered with; the next one draws anew."""
        tries = self.exchanges[-1].columns.values() if self.exchanges else ()
        seeds = [answer.seed for one in tries for answer in one.answers if answer.seed is not None]
        return max(seeds, default=None)

    @property
    def context_uses(self) -> list[ContextUse]:
        """What the next prompt comes on top of, for each column that answered the last one.

        At most: thoughts that a template drops later are counted, too.
        """
        answers = self.exchanges[-1].answers if self.exchanges else {}
        return [ContextUse(name, answer.prompt_tokens + answer.tokens, answer.context_tokens)
                for name, answer in answers.items() if answer.prompt_tokens]

    @staticmethod
    def _turns(exchanges: tuple[Exchange, ...], column: str, system: str) -> list[Message]:
        turns: list[Message] = []
        if system.strip():
            turns.append({"role": "system", "content": system.strip()})
        for exchange in exchanges:
            answer = exchange.answers.get(column)
            if answer is not None and answer.is_begun:
                turns += [{"role": "user", "content": exchange.prompt},
                          {"role": "assistant", "content": answer.whole_text}]
        return turns

    def _exchange(self, turn: int) -> Exchange:
        if not 1 <= turn <= len(self.exchanges):
            raise DataError(f"The conversation has {len(self.exchanges)} turns, so there is no "
                            f"turn {turn}.", "Choose another turn, or ask something first.")
        return self.exchanges[turn - 1]

    def _with(self, turn: int, exchange: Exchange) -> Conversation:
        return replace(self, exchanges=(*self.exchanges[:turn - 1], exchange,
                                        *self.exchanges[turn:]), loading=None)
