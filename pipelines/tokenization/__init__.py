"""Tokenizers (`spec`, `formats`, `engine`, `training`) and the task that encodes (`task`).

`identity` says which tokenizer a corpus uses, and the key of its tokens.
"""
