"""From a file, a folder, an upload, or a Hub id to token ids and a loss mask.

    reading/   sources in blocks -> rows and problems
    detect     which format a source has; convert: a row as a sample; templates/: turns as text
    encode     samples as tokens and what of them is learned: the only tokenisation
    lab/       the whole set: kept on disk, examined on worker processes, reported
    checks/    what is wrong with it; cleaning/: a mended copy; advice: what to change
    prepare    what the trainer gets

The page's preview and the trainer take the same path; there is no second tokenisation.
"""
