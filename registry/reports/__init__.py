"""Pictures, tables and cards of what was measured and decided: pure functions of plain values.

lines       what a card has room for
sheet       a page measured in inches, its colours and marks
forest      differences and their bounds, beside what was demanded of them
timeline    who was in force when
cards       Markdown that any viewer shows
"""

from registry.reports.cards import comparison_card, decision_card
from registry.reports.forest import comparison_plot, forest_plot
from registry.reports.timeline import timeline

__all__ = [
    "comparison_card",
    "comparison_plot",
    "decision_card",
    "forest_plot",
    "timeline",
]
