"""Pictures, tables and cards of what was measured and decided: pure functions of plain values.

lines       what a card has room for
sheet       a page measured in inches, its colours and marks
forest      differences and their bounds, beside what was demanded of them
marks       what stands for each kind of ledger entry
timeline    who was in force when
stream      observations as they are told: what was held after each batch
chart       what was measured of the version in force, batch by batch
parts       what all cards are made of
cards       Markdown that any viewer shows
health      the card of what is held of the version in force
"""

from registry.reports.cards import comparison_card, decision_card
from registry.reports.chart import control_chart
from registry.reports.forest import comparison_plot, forest_plot
from registry.reports.health import health_card
from registry.reports.timeline import timeline

__all__ = [
    "comparison_card",
    "comparison_plot",
    "control_chart",
    "decision_card",
    "forest_plot",
    "health_card",
    "timeline",
]
