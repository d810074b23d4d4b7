"""One file for each family of training methods over TRL's trainers, and what they share.

`supervised.py` (sft, pretrain), `preference.py` (dpo, orpo), `judged.py` (kto), `reward_model.py`
(reward) and `reinforcement.py` (grpo, rloo) each have a `make(recipe, run, setup, reporter)`;
`common.py` holds what every trainer of the studio does, `arguments.py` what every method is told.
"""
