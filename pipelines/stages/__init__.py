"""What `strata run` does, one module per stage.

Shard, decontaminate, dedup, passages, tokenize, compress: each module is the outline of its stage,
written as calls to the rooms below. Start with `shard.py`.
"""
