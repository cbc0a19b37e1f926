"""Pictures, tables and cards of what was measured and decided: pure functions of plain values.

lines       what a card has room for
sheet       a page measured in inches, its colours and marks
panels      estimates between their bounds, row by row
forest      differences and their bounds, beside what was demanded of them
measures    what was measured of one version
marks       what stands for each kind of ledger entry
course      how a metric went from decision to decision
timeline    who was in force when, and how the metric went
stream      observations as they are told: what was held after each batch
chart       what was measured of the version in force, batch by batch
parts       what all cards are made of
cards       decisions and comparisons as Markdown that any viewer shows
ballot      what a person reads who is asked to agree
ledger      the ledger as a table, and the card of an alias
model       the card of a version
page        cards as one HTML file
health      the card of what is held of the version in force
heatmap     what every version would have brought
upkeep      the card of a round of maintenance
"""

from registry.reports.ballot import ballot
from registry.reports.cards import comparison_card, decision_card
from registry.reports.chart import control_chart
from registry.reports.forest import comparison_plot, forest_plot
from registry.reports.health import health_card
from registry.reports.heatmap import backtest_card, heat_map
from registry.reports.ledger import timeline_card
from registry.reports.model import model_card
from registry.reports.page import page
from registry.reports.parts import footer
from registry.reports.timeline import timeline
from registry.reports.upkeep import Upkeep, upkeep_card

__all__ = [
    "Upkeep",
    "backtest_card",
    "ballot",
    "comparison_card",
    "comparison_plot",
    "control_chart",
    "decision_card",
    "footer",
    "forest_plot",
    "health_card",
    "heat_map",
    "model_card",
    "page",
    "timeline",
    "timeline_card",
    "upkeep_card",
]
