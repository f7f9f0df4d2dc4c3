"""Reports that a biologist can show to others, made from run folders alone."""

from crocuta.report.page import write_report

__all__ = ["write_report"]
