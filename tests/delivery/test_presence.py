from pushgate.delivery.presence import EVERY, FORGOTTEN, REPLACED, SETTLED, TWIN, Presence
from pushgate.messages.questions import Here, Node

OWN, OTHER = Node("here", 1), Node("there", 2)


def tick(presence: Presence, count: int) -> None:
    for _ in range(count):
        presence.tick()


def test_our_own_node_is_always_there() -> None:
    presence = Presence(OWN)
    presence.hear(Here(OWN))
    presence.hear(Here(OWN, leaving=True))
    tick(presence, 2 * FORGOTTEN)
    assert presence.nodes == {OWN}


def test_a_silent_node_is_forgotten_and_one_that_leaves_at_once() -> None:
    presence = Presence(OWN)
    presence.hear(Here(OTHER))
    tick(presence, FORGOTTEN - 1)
    assert presence.nodes == {OWN, OTHER}
    presence.hear(Here(OTHER))
    tick(presence, FORGOTTEN - 1)
    assert presence.nodes == {OWN, OTHER}
    tick(presence, 1)
    assert presence.nodes == {OWN}
    presence.hear(Here(OTHER))
    presence.hear(Here(OTHER, leaving=True))
    presence.hear(Here(OTHER, leaving=True))
    assert presence.nodes == {OWN}


def test_two_nodes_of_one_name_are_two() -> None:
    presence, twin = Presence(OWN), Node("there", 3)
    for _ in range(30):
        presence.hear(Here(OTHER))
        presence.hear(Here(twin))
        presence.hear(Here(Node("here", 4)))
        tick(presence, EVERY)
    assert presence.nodes == {OWN, OTHER, twin, Node("here", 4)}


def test_a_node_that_died_and_is_back_is_one() -> None:
    presence, back = Presence(OWN), Node("there", 3)
    presence.hear(Here(OTHER))
    presence.hear(Here(back))
    tick(presence, REPLACED)
    assert presence.nodes == {OWN, OTHER, back}
    presence.hear(Here(back))
    assert presence.nodes == {OWN, back}


def test_it_is_settled_once_everybody_had_the_time_to_say_so() -> None:
    presence = Presence(OWN)
    assert SETTLED > EVERY
    for _ in range(2):
        assert not presence.settled
        tick(presence, SETTLED)
        assert presence.settled
        presence.unsettle()


def test_another_running_node_of_our_name_is_a_twin_and_one_that_was_before_us_is_none() -> None:
    presence, twin = Presence(OWN), Node(OWN.name, 3)

    def speak(seconds: int) -> None:
        for _ in range(seconds):
            presence.hear(Here(twin))
            presence.hear(Here(OTHER))
            tick(presence, EVERY)

    speak(1)
    tick(presence, 2 * FORGOTTEN)
    assert not presence.twin, "it has spoken once, and is gone"
    speak(TWIN // EVERY)
    assert presence.twin
    tick(presence, REPLACED)
    assert not presence.twin
