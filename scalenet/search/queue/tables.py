"""The tables of searches: what is searched, its candidates, every attempt at a training, curves, and who took part.

An attempt is `waiting`, `running`, `done`, `lost` (its worker died or gave it back; the next attempt follows) or
`failed` (no other follows). That no attempt is made twice, and no training has two results, are keys of the tables.
"""

from __future__ import annotations

import sqlalchemy as sql

LONGEST_NAME = 512

METADATA = sql.MetaData()

SEARCHES = sql.Table(
    "scalenet_searches",
    METADATA,
    sql.Column("id", sql.Integer, primary_key=True),
    sql.Column("name", sql.String(LONGEST_NAME), nullable=False, unique=True),
    sql.Column("token", sql.String(32), nullable=False),  # the search's own in any database
    sql.Column("plan", sql.JSON(none_as_null=True)),
    sql.Column("aim", sql.JSON(none_as_null=True)),
    sql.Column("request", sql.JSON(none_as_null=True)),
    sql.Column("stopping", sql.Boolean, nullable=False, default=False),
    sqlite_autoincrement=True,  # the number of a search that was removed is no other's
)

CANDIDATES = sql.Table(
    "scalenet_candidates",
    METADATA,
    sql.Column("search", sql.ForeignKey("scalenet_searches.id", ondelete="CASCADE"), primary_key=True),
    sql.Column("name", sql.String, primary_key=True),
    sql.Column("place", sql.Integer, nullable=False),
    sql.Column("facts", sql.JSON, nullable=False),
    sql.Column("config", sql.JSON, nullable=False),
)

ATTEMPTS = sql.Table(
    "scalenet_attempts",
    METADATA,
    sql.Column("id", sql.Integer, primary_key=True),
    sql.Column("search", sql.ForeignKey("scalenet_searches.id", ondelete="CASCADE"), nullable=False),
    sql.Column("candidate", sql.String, nullable=False),
    sql.Column("seed", sql.BigInteger, nullable=False),
    sql.Column("budget", sql.Integer, nullable=False),  # 0: the evaluator's own
    sql.Column("attempt", sql.Integer, nullable=False),
    sql.Column("place", sql.Integer, nullable=False),  # the order of evaluation
    sql.Column("state", sql.String(8), nullable=False, default="waiting"),
    sql.Column("worker", sql.String),
    sql.Column("process", sql.String),  # the worker's, as its machine tells it from others
    sql.Column("beat", sql.Integer, nullable=False, default=0),  # signs of life so far
    sql.Column("share", sql.Float, nullable=False, default=0.0),  # how much of it is done
    sql.Column("reached", sql.Float, nullable=False, default=0.0),  # by the attempts before
    sql.Column("errors", sql.Integer, nullable=False, default=0),  # of the attempts before
    sql.Column("deaths", sql.Integer, nullable=False, default=0),  # of their workers, since one got further
    sql.Column("accuracy", sql.Float),
    sql.Column("loss", sql.Float),
    sql.Column("seconds", sql.Float),
    sql.Column("images", sql.BigInteger),
    sql.Column("one_class", sql.Boolean),
    sql.Column("error", sql.Text),
    sql.UniqueConstraint("search", "candidate", "seed", "budget", "attempt"),
    sqlite_autoincrement=True,
)

sql.Index("scalenet_queue", *(ATTEMPTS.c[name] for name in ("search", "state", "place", "id")))
_DONE = ATTEMPTS.c.state == "done"
sql.Index(
    "scalenet_results",
    *(ATTEMPTS.c[name] for name in ("search", "candidate", "seed", "budget")),
    unique=True,
    sqlite_where=_DONE,
    postgresql_where=_DONE,
)

RUNS = sql.Table(
    "scalenet_runs",
    METADATA,
    sql.Column("id", sql.Integer, primary_key=True),
    sql.Column("search", sql.ForeignKey("scalenet_searches.id", ondelete="CASCADE"), nullable=False, index=True),
    sql.Column("process", sql.String, nullable=False),  # as its machine tells it from others
    sql.Column("workers", sql.Integer, nullable=False),
    sql.Column("beat", sql.Integer),  # signs of life so far; none once it has left
    sql.Column("seconds", sql.Float, nullable=False),  # for how long the search was at work at the last one
    sqlite_autoincrement=True,
)

CURVES = sql.Table(
    "scalenet_curves",
    METADATA,
    sql.Column("attempt", sql.ForeignKey("scalenet_attempts.id", ondelete="CASCADE"), primary_key=True),
    sql.Column("epoch", sql.Integer, primary_key=True),
    sql.Column("accuracy", sql.Float, nullable=False),
)
