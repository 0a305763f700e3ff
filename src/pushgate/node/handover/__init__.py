"""The hand-over: the live sessions and all else of a node go from one generation of its processes to the next.

heritage    what the two supervisors say to each other: `upgrade` in the old one, `succession` in the new one
turnover    a supervisor comes to its node by a succession, and goes by an upgrade, whose process is the `successor`
passing     what the workers say to each other: `giving` in the old ones, `taking` in the new ones
tenure      the sessions come to a worker by taking, and go by giving
"""
