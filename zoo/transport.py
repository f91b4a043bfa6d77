"""The one door to a zoo's server: requests, retries, and problems turned into our errors.

A request that is safe to repeat is tried again, with growing pauses, when the connection fails or the
server says that it is overloaded. Problems are those of RFC 9457; their `code` names the error class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import stamina

import zoo.errors as errors
from zoo.errors import ServerUnavailable, ZooError
from zoo.settings import Settings

RETRIED = frozenset({408, 429, 500, 502, 503, 504})
BY_CODE: dict[str, type[ZooError]] = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ZooError)
}


class Overloaded(Exception):
    """An answer that asks to be tried again later."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(str(response.status_code))
        self.response = response


class Transport:
    """Requests to one server.

    Args:
        endpoint: Its address, a path prefix included.
        settings: Time limits and numbers of attempts.
    """

    def __init__(self, endpoint: str, settings: Settings) -> None:
        self.endpoint = endpoint.rstrip("/")
        self.settings = settings
        self._client = httpx.Client(
            timeout=settings.timeout,
            headers=_headers(settings),
            limits=httpx.Limits(max_connections=settings.connections + 4),
            follow_redirects=True,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, path: str, **params: Any) -> httpx.Response:
        """GET, tried again where that may help.

        Raises:
            ZooError: The server's problem, or ServerUnavailable.
        """
        given = {name: value for name, value in params.items() if value is not None}
        return self.request("GET", path, params=given)

    def json(self, path: str, **params: Any) -> dict[str, Any]:
        """GET a JSON object.

        Raises:
            ZooError: The server's problem, or ServerUnavailable.
        """
        response = self.get(path, **params)
        try:
            found = response.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise _no_zoo(response)
        return found

    def request(
        self, method: str, path: str, *, again: bool = True, **options: Any
    ) -> httpx.Response:
        """Any request; the answer is one of success.

        Args:
            method: The HTTP method.
            path: The path on the server.
            again: Whether it is safe to send it more than once.
            options: As httpx takes them.

        Raises:
            ZooError: The server's problem, or ServerUnavailable.
        """
        try:
            for attempt in self.attempts(_is_passing if again else _never):
                with attempt:
                    response = self._client.request(method, self.url(path), **options)
                    if again and response.status_code in RETRIED:
                        raise Overloaded(response)
        except Overloaded as overloaded:
            response = overloaded.response
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self.unavailable(error) from error
        if response.is_error:
            raise problem(response)
        return response

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """GET one body piece by piece, once; errors of the connection are left to the caller.

        Raises:
            ZooError: The server's problem.
            Overloaded: The server asks to be tried again.
        """
        with self._client.stream("GET", self.url(path), headers=dict(headers)) as response:
            if response.status_code in RETRIED:
                raise Overloaded(response)
            if response.is_error:
                response.read()
                raise problem(response)
            yield response

    def attempts(self, again: Callable[[Exception], bool] | None = None) -> Iterator[Any]:
        """Attempts for a block that may fail on its way: `for attempt in attempts: with attempt: ...`.

        Args:
            again: Which errors to try again after; by default all of the connection, a refused one
                too, as is right in the middle of a transfer.
        """
        return iter(
            stamina.retry_context(
                on=again or _is_of_connection,
                attempts=self.settings.attempts,
                wait_initial=0.2,
                wait_max=5.0,
                timeout=None,
            )
        )

    def unavailable(self, error: Exception) -> ServerUnavailable:
        """The error for a server that does not answer."""
        why = str(error) or type(error).__name__
        return ServerUnavailable(
            f"no answer from {self.endpoint}: {why}",
            fix="is it running? start it with `zoo serve`, or name another with --endpoint",
        )

    def url(self, path: str) -> str:
        """The address of a path on the server."""
        return f"{self.endpoint}/{path.lstrip('/')}"


def _headers(settings: Settings) -> dict[str, str]:
    headers = {"User-Agent": "polyzoo", "Accept-Encoding": "identity"}
    token = settings.token.get_secret_value()
    return headers | ({"Authorization": f"Bearer {token}"} if token else {})


def _is_of_connection(error: Exception) -> bool:
    return isinstance(error, httpx.TransportError | Overloaded)


_LASTING = (httpx.ConnectError, httpx.UnsupportedProtocol)


def _is_passing(error: Exception) -> bool:
    """A server that refuses connections is not there; that does not pass by waiting a little."""
    return _is_of_connection(error) and not isinstance(error, _LASTING)


def _never(error: Exception) -> bool:
    return False


def problem(response: httpx.Response) -> ZooError:
    """The error that a problem+json answer describes."""
    try:
        body = response.json()
    except ValueError:
        body = {}
    if not isinstance(body, dict) or not body:
        return _no_zoo(response)
    kind = BY_CODE.get(str(body.get("code")), ServerUnavailable)
    text = body.get("detail") or body.get("title") or f"the server answered {response.status_code}"
    return kind(str(text), fix=str(body.get("fix") or ""))


def _no_zoo(response: httpx.Response) -> ServerUnavailable:
    return ServerUnavailable(
        f"{response.request.url} answered {response.status_code}, not as a zoo does",
        fix="check --endpoint",
    )
