"""Passages that repeat earlier ones: lines, paragraphs and runs of words, as rows of `cuts`.

Start with `rows` (what a task finds), then `regroup` and `collectors` (what is compared).
"""
