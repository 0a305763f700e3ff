"""The numbers of the tenant and the nodes; who answers are fakes."""

from pushgate.messages.questions import Count, Counted
from tests.api.rig import Rig


def test_numbers_of_each_node_and_of_all(rig: Rig) -> None:
    rig.questions.replies = [
        ("here", Counted("1.0.0", 2, True, 10, 8, 100, 300, 0.1, 1.5)),
        ("there", Counted("1.0.1", 4, True, 5, 4, 50, 70, 0.2, 2.5)),
    ]
    rig.questions.missing = ["elsewhere"]
    response = rig.http.get("/v1/stats")
    assert response.status_code == 200
    here = {
        "node": "here",
        "version": "1.0.0",
        "workers": 2,
        "connections": 10,
        "users": 8,
        "pushes": 100,
        "delivered": 300,
        "pushes_per_second": 0.1,
        "delivered_per_second": 1.5,
    }
    answer = response.json()
    assert answer["nodes"][0] == here
    assert [node["node"] for node in answer["nodes"]] == ["here", "there"]
    assert answer["total"] == {
        "connections": 15,
        "users": 12,
        "pushes": 150,
        "delivered": 370,
        "pushes_per_second": 0.3,
        "delivered_per_second": 4.0,
    }
    assert answer["missing"] == ["elsewhere"]
    assert rig.questions.asked == [Count("acme")]


def test_the_nodes(rig: Rig) -> None:
    rig.questions.replies = [
        ("here", Counted("1.0.0", 2, True, 10, 8, 100, 300, 0.1, 1.5)),
        ("there", Counted("1.0.1", 4, False, 5, 4, 50, 70, 0.2, 2.5)),
    ]
    response = rig.http.get("/v1/nodes")
    assert response.status_code == 200
    assert response.json() == {
        "nodes": [
            {"node": "here", "version": "1.0.0", "workers": 2, "ready": True},
            {"node": "there", "version": "1.0.1", "workers": 4, "ready": False},
        ],
        "missing": [],
    }
