"""How the server says no: the status, and the body that vLLM (0.9 and later) sends with it."""

from __future__ import annotations

from typing import Any

_KINDS = {
    400: "BadRequestError",
    404: "NotFoundError",
    405: "MethodNotAllowedError",
    413: "RequestEntityTooLargeError",
    503: "ServiceUnavailableError",
}


class Refusal(Exception):  # noqa: N818 - it is an answer, not a fault
    """A request that is not answered with a completion.

    ``message`` is for the client; ``param`` names the key of the body that is at fault, where one is.
    """

    def __init__(self, message: str, *, status: int = 400, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.param = param

    @property
    def body(self) -> dict[str, Any]:
        """The JSON body.

        >>> Refusal("The model `m` does not exist.", status=404, param="model").body["error"]["type"]
        'NotFoundError'
        """
        kind = _KINDS.get(self.status, "InternalServerError")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.status}}
