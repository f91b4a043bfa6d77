"""How logs are written: a line for each event, as JSON or to be read, and no secret in it.

Everybody logs as Python does, to loggers below `polyzoo`; what an event is about goes into `extra`. The id of
the request is added to whatever is logged while it is answered.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

from zoo.settings import Settings

# Tokens of ours; addresses with passwords; and what lets whoever knows it write to an upload.
_SECRETS = (
    (re.compile(r"\b(zoo_|hf_|whsec_)[A-Za-z0-9_\-+/=]{8,}"), r"\1…"),
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+@"), r"\1…@"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9_\-+/=.]{8,}"), r"\1 …"),
    (re.compile(r"(uploads/[0-9a-f]{8})[0-9a-f]{24}"), r"\1…"),
)
# What one of them needs: nearly all text has none of it, which one look tells.
_SUSPECT = re.compile(r"(?i)zoo_|hf_|whsec_|://|bearer|basic|uploads/")


def config(settings: Settings) -> dict[str, Any]:
    """What `logging.config.dictConfig` takes.

    Args:
        settings: Form and level.
    """
    level = settings.log_level.upper()
    form = settings.log
    if form == "auto":
        form = "text" if sys.stderr.isatty() else "json"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"polyzoo": {"()": "zoo.logs.formatter", "form": form}},
        "handlers": {
            "polyzoo": {
                "class": "logging.StreamHandler",
                "formatter": "polyzoo",
                "stream": "ext://sys.stderr",
            }
        },
        "loggers": {"polyzoo": {"handlers": ["polyzoo"], "level": level, "propagate": False}},
    }


def formatter(form: str) -> logging.Formatter:
    """What makes a line of an event.

    Args:
        form: `json` or `text`.
    """
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if form == "json":
        written: list[Processor] = [
            structlog.processors.format_exc_info,
            _without_secrets,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    else:
        written = [_without_secrets, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=before,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *written],
    )


def hidden(text: str) -> str:
    """Text without the secrets in it."""
    if not _SUSPECT.search(text):
        return text
    for pattern, shown in _SECRETS:
        text = pattern.sub(shown, text)
    return text


def _without_secrets(_: Any, __: str, event: EventDict) -> EventDict:
    return {key: hidden(value) if isinstance(value, str) else value for key, value in event.items()}
