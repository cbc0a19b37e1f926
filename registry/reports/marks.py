"""What stands for each kind of ledger entry in all pictures."""

from registry.reports.sheet import GREEN, INK, PURPLE, QUIET, SKY, VERMILLION, Mark

MARKS = {
    "promoted": Mark("^", GREEN, GREEN, 8.5),
    "assigned": Mark("s", PURPLE, PURPLE),
    "rolled-back": Mark("v", VERMILLION, VERMILLION, 8.5),
    "cleared": Mark("o", INK, "white", 6.5),
    "approved": Mark("P", SKY, SKY, 8.0),
    "held": Mark("D", QUIET, "white", 5.5),
    "rejected": Mark("X", QUIET, QUIET, 7.5),
    "alerted": Mark("*", INK, "white", 9.5),
}
"""The mark of each kind of entry."""
