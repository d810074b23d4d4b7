"""Chat: one base and any number of adapters answer the same question side by side.

`session.py` puts the parts together, `desk.py` keeps one session for the whole program.

    conversation, saved          what was asked and answered, kept
    differences, scoring         what differs between answers, and how likely each was
    votes, win_rates, vote_files a blind test, what it adds up to, and as files
    prompt_set, prompt_answers   a file of prompts answered in one go, to be voted on
"""
