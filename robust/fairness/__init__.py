"""Group fairness: every group metric is one formula, a rate, over one group frame; gaps have intervals and tests."""

from robust.fairness.attack_rates import attack_success, best_proof, certified_share, robust_share, worst_case
from robust.fairness.gap import Gap, gap_limits, largest_gap, worst_group
from robust.fairness.group_frame import GroupCounts, GroupFrame, Rate, group_frame
from robust.fairness.permutation import false_alarms, permutation_null, pooled_statistic
from robust.fairness.rates import accuracy, false_positive_rate, selection_rate, true_positive_rate

__all__ = [
    "Gap",
    "GroupCounts",
    "GroupFrame",
    "Rate",
    "accuracy",
    "attack_success",
    "best_proof",
    "certified_share",
    "false_alarms",
    "false_positive_rate",
    "gap_limits",
    "group_frame",
    "largest_gap",
    "permutation_null",
    "pooled_statistic",
    "robust_share",
    "selection_rate",
    "true_positive_rate",
    "worst_case",
    "worst_group",
]
