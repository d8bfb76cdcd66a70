"""Orders from files: readers, targets, and the loop between them.

A reader gives each order as the API takes it, or says why it can't; a target places a chunk of
them in process or over HTTP; the loader keeps count of what became of each.
"""
