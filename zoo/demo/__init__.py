"""The main job, end to end, on a real model: one upload, four frameworks, fetched over HTTP.

picture   a line of Latin and Chinese text, drawn
ocr       a picture to numbers, and probabilities to text, as the model's authors do it
job       apply, convert, verify, publish, serve, pull, run
"""

from __future__ import annotations

from zoo.demo.job import Outcome, Row, run

__all__ = ["Outcome", "Row", "run"]
