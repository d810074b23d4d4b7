"""Whole models of one shape become one, by mergekit: linear, SLERP, TIES, DARE.

    parts (what is named) -> plan (do they fit, what it takes) -> configuration (the YAML)
    -> merging (mergekit in a process of its own) -> card, checking (what was written)

mergekit is an optional package; everything but the merging itself works without it. Adapters are
mixed in `studio/adapters/blend`.
"""

from studio.export.model_merge.configuration import yaml_text
from studio.export.model_merge.merging import Merged, merge_models, require_mergekit
from studio.export.model_merge.parts import Part, Wish
from studio.export.model_merge.plan import MergePlan, plan_merge

__all__ = ["MergePlan", "Merged", "Part", "Wish", "merge_models", "plan_merge", "require_mergekit",
           "yaml_text"]
