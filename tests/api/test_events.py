"""What happened to the nodes; who answers are fakes."""

from pushgate.journal import Event
from pushgate.messages.questions import Recall, Recalled
from tests.api.rig import READ_KEY, Rig


def test_the_events_of_all_nodes_in_the_order_of_time(rig: Rig) -> None:
    rig.questions.replies = [
        ("here", Recalled([Event(1.5, "info", "ready", {"workers": 2}), Event(4.0, "warning", "bus away", {})])),
        ("there", Recalled([Event(3.25, "error", "a worker ended", {"worker": 1, "again_in": 0.5})])),
    ]
    rig.questions.missing = ["elsewhere"]
    response = rig.http.get("/v1/events")
    assert response.status_code == 200
    assert response.json() == {
        "events": [
            {"node": "here", "time": 1.5, "level": "info", "event": "ready", "facts": {"workers": 2}},
            {
                "node": "there",
                "time": 3.25,
                "level": "error",
                "event": "a worker ended",
                "facts": {"worker": 1, "again_in": 0.5},
            },
            {"node": "here", "time": 4.0, "level": "warning", "event": "bus away", "facts": {}},
        ],
        "missing": ["elsewhere"],
    }
    assert rig.questions.asked == [Recall()]


def test_who_may_ask(rig: Rig) -> None:
    for key, status in (("no key", 401), (READ_KEY, 200)):
        rig.http.headers["authorization"] = f"Bearer {key}"
        assert rig.http.get("/v1/events").status_code == status
    assert rig.questions.asked == [Recall()]


def test_a_node_that_does_not_answer_itself_is_503(rig: Rig) -> None:
    rig.questions.missing = ["here"]
    assert rig.http.get("/v1/events").status_code == 503
