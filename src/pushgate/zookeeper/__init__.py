"""Connections to ZooKeeper. kazoo knows its messages; the extra `pushgate[zookeeper]` brings it."""
