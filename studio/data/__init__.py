"""From a file, an upload, or a Hub id to token ids and a loss mask.

    read_records -> choose_format -> to_messages -> render -> prepare (for the trainer)
                                                           -> inspect (for the person)

The page's preview and the trainer take the same path; there is no second tokenisation.
"""
