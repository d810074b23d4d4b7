"""What an answer is worth to grpo and rloo: named in the recipe, computed for each answer.

`named.py` reads the recipe's names and says what is wrong with them before anything is loaded;
`length.py`, `judge.py` (a trained reward model) and the scorers of a run's samples compute;
`rewarding.py` brings them together for the trainer. Trains nothing.
"""

from studio.training.rewards.named import Named, rewards_named
from studio.training.rewards.rewarding import Given, Rewarding, Written, check_rewards

__all__ = ["Given", "Named", "Rewarding", "Written", "check_rewards", "rewards_named"]
