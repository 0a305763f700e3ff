"""The numbers of the tenant and the nodes; who answers are fakes."""

from pushgate.messages.questions import Count, Counted, Overview
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
        (
            "there",
            Counted("1.0.1", 4, False, 5, 4, 50, 70, 0.2, 2.5, Overview(60, 9, 7, 1.5, 3.0, True, False, 3, 2, ["it"])),
        ),
    ]
    rig.questions.missing = ["elsewhere"]
    response = rig.http.get("/v1/nodes")
    assert response.status_code == 200
    older, there = response.json()["nodes"]
    assert response.json()["missing"] == ["elsewhere"]
    assert there == {
        "node": "there",
        "version": "1.0.1",
        "workers": 4,
        "ready": False,
        "not_ready": ["it"],
        "draining": True,
        "upgrading": False,
        "up": 60,
        "connections": 9,
        "users": 7,
        "pushes_per_second": 1.5,
        "delivered_per_second": 3.0,
        "bus_workers": 3,
        "inbox_workers": 2,
    }
    told = {"node": "here", "version": "1.0.0", "workers": 2, "ready": True}
    assert older == dict.fromkeys(there) | told, "what an older version does not tell is null, and not 0"
