"""What `strata run` does, one module a stage.

Shard, decontaminate, dedup, passages, tokenize, compress: each is the story of its stage, told in
calls to the rooms below. Start with `shard.py`.
"""
