"""Asking all nodes on behalf of a request."""

from pushgate.api.admission import AnyRequest, context_of
from pushgate.delivery.questions import Gathered, R
from pushgate.errors import BusUnavailable, Problem
from pushgate.messages.questions import Question


async def ask(request: AnyRequest, question: Question, kind: type[R]) -> Gathered[R]:
    """Return what the nodes say. Raises Problem 503 unless at least our own node answered."""
    try:
        gathered = await context_of(request).questions.ask(question, kind)
    except BusUnavailable as error:
        raise Problem("bus_unavailable", str(error)) from None
    if not gathered.whole:
        raise Problem("unavailable", "the worker of this node that would know does not answer")
    return gathered
