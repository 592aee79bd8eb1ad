# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The JSON Schema of a plan (draft 2020-12): what stands where, with which default.

The published schema (docs/schema) and the plan reference (docs/plan-reference.md) are generated from it by
``scripts/generate_plan_reference.py``. ``x-wants`` finishes the sentence "<place> wants ..." of an error message and is
of no concern to other readers of the schema. A schema says what one value may be; what values mean together (cycles,
names that must exist, sums) is in ``validation``.
"""

from __future__ import annotations

from typing import Any

from . import durations

PLUGIN = "cortex.larry.plan"
SCHEMA_ID = "https://json-schema.org/draft/2020-12/schema"

# Python's $ also matches before a closing newline, ECMAScript's does not: the look-ahead makes both agree.
_END = r"$(?!\n)"
ID_PATTERN = rf"^[a-z0-9][a-z0-9-]*{_END}"
NO_SPACE_OR_CONTROL = rf"^[^\s\x00-\x1f\x7f-\x9f]*{_END}"

#: What ``run`` in a criterion's expression offers: name -> meaning. The report measures them; null is "not measured".
RUN_MEASURES: dict[str, str] = {
    "duplicated_tasks": "Tasks with more than one accepted completion in the log. Needs a log without gaps.",
    "settled_once": "Tasks that the log settles exactly once. Needs a log without gaps.",
    "unsettled_tasks": "Tasks that are neither completed nor failed nor skipped.",
    "completed_tasks": "Tasks that are completed.",
    "failed_tasks": "Tasks that failed for good.",
    "skipped_tasks": "Tasks that were skipped.",
    "total_tasks": "Tasks of the plan.",
    "completed_larrys": "Larrys whose phase is completed.",
    "total_larrys": "Larrys of the plan.",
    "acquisitions": "Claims that were granted. Needs a log without gaps.",
    "refusals": "Leases that were refused because somebody held them. Needs a log without gaps.",
    "takeovers": "Slots taken over, and tasks claimed again after their lease lapsed or was revoked. Needs the log.",
    "fenced_completions": "Completions refused because the holder was no longer the holder. Needs the log.",
    "revoked": "Leases that an operator revoked. Needs a log without gaps.",
    "conflicts": "Tasks that somebody outside the run held when they were to be claimed. Needs the log.",
    "retries": "Claims of a task beyond its first one. Needs a log without gaps.",
    "wall_seconds": "Real seconds from the start of the run to its end, or to its last log entry.",
    "wall_minutes": "The same in planned minutes: real seconds times the time scale, divided by 60.",
    "longest_larry_minutes": "Planned minutes of the Larry that took longest. Needs every phase to be over.",
    "coordination_overhead_percent": (
        "100 * waiting / (waiting + execution) over the executed tasks. Waiting is from the moment a task was ready and"
        " its worker free (registered, its previous task settled) to its claim; execution is from claim to settlement."
    ),
    "tokens_used_percent": "100 * tokens used / budget of the plan with pools. Needs at least one metered request.",
    "workers_off_node": (
        "Executed tasks whose machine is not the node their worker is bound to. Needs evidence of the machine from each"
        " executed task, and a machine of its own for each node."
    ),
    "log_complete": "Whether the log has each entry from 1 to its last one, each once and the same in all files.",
    "log_entries": "Entries that the log is said to have.",
    "barrier_clean": "Whether the Larrys' barrier opened with all of them and never failed.",
    "catalogue_difference": "Objects that differ between the catalogue and the estate, as cross-validation found.",
    "critical_path_seconds": "Real seconds of the longest chain of dependent tasks, execution alone.",
    "larrys": "For each Larry: status, progress, seconds, minutes (planned) and planned_minutes.",
}

ORDERING_OPERATORS = ("<", "<=", ">", ">=")
OPERATORS = ("==", "!=", *ORDERING_OPERATORS)


def _planned(description: str, **more: Any) -> dict[str, Any]:
    return {
        "type": ["string", "number"],
        "pattern": durations.PATTERN_OR_MINUTES,
        "maxLength": durations.MAX_CHARACTERS,
        "exclusiveMinimum": 0,
        "description": description + " Planned time: divided by the time scale in a run.",
        "x-wants": "a duration such as 25m, 90s or 1h30m, or a number of minutes",
        **more,
    }


def _real(description: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "string",
        "pattern": durations.PATTERN,
        "maxLength": durations.MAX_CHARACTERS,
        "description": description + " Real time: the time scale does not touch it.",
        "x-wants": "a duration with its unit, such as 90s or 10m",
        **more,
    }


def _id(description: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "string",
        "pattern": ID_PATTERN,
        "maxLength": 100,
        "description": description,
        "x-wants": "an id: small letters, digits and dashes, beginning with a letter or a digit",
        **more,
    }


def _text(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "description": description, "x-wants": "a text", **more}


def _whole(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "integer", "minimum": 0, "description": description, "x-wants": "a whole number, 0 or more", **more}


def _one_of(description: str, *words: str, **more: Any) -> dict[str, Any]:
    return {"enum": list(words), "description": description, "x-wants": "one of " + ", ".join(words), **more}


def _flag(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "boolean", "description": description, "x-wants": "true or false", **more}


def _list(description: str, element: dict[str, Any], wants: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "array",
        "items": element,
        "uniqueItems": True,
        "description": description,
        "x-wants": wants,
        **more,
    }


def _section(
    description: str, properties: dict[str, Any], required: tuple[str, ...] = (), **more: Any
) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "additionalProperties": False,
        "required": list(required),
        "properties": properties,
        "x-wants": "a mapping",
        **more,
    }


def _named(description: str, element: dict[str, Any], what: str, **more: Any) -> dict[str, Any]:
    """A mapping from ids to things of one kind."""
    return {
        "type": "object",
        "description": description,
        "propertyNames": {"pattern": ID_PATTERN, "maxLength": 100},
        "additionalProperties": element,
        "x-wants": f"a mapping from the id of each {what} to what it is",
        **more,
    }


def _parameters(description: str) -> dict[str, Any]:
    return {"type": "object", "description": description, "x-wants": "a mapping from names to anything", "default": {}}


def _role(description: str) -> dict[str, Any]:
    return {
        "type": "string",
        "pattern": rf"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*{_END}",
        "description": description,
        "x-wants": "the name of a role, such as cortex.larry.development",
    }


def _entry_point(description: str) -> dict[str, Any]:
    return {
        "type": "string",
        "pattern": rf"^[a-z0-9_][a-z0-9_-]*{_END}",
        "description": description,
        "x-wants": "the name of a task file of the role, such as catalog_deployments",
    }


def _variable_name(description: str) -> dict[str, Any]:
    return {
        "type": "string",
        "pattern": rf"^[A-Za-z_][A-Za-z0-9_]*{_END}",
        "description": description,
        "x-wants": "the name of an environment variable",
    }


def _seconds(description: str) -> dict[str, Any]:
    return {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 86400,
        "description": description,
        "x-wants": "a number of seconds, greater than 0",
    }


_REDIS_URLS = (
    "``redis://host:port/db``, ``unix:///path``, ``redis+sentinel://host:port,host:port/service/db`` or"
    " ``redis+cluster://host:port,host:port``, with ``rediss`` for TLS"
)

_REDIS_MAPPING = _section(
    "A server with options.",
    {
        "url": _text(f"{_REDIS_URLS}. No password in it."),
        "username": _text("The ACL user."),
        "password_env": _variable_name("Name of the environment variable that holds the password."),
        "timeout": _seconds("Seconds to wait for a connection, and for each answer. The default is 5."),
        "patience": _seconds(
            "Seconds for which a call is sent again while the server does not answer or cannot take it. The default is"
            " 10, and 20 with Sentinels or a Cluster."
        ),
        "tls_ca_file": _text("Certificates to trust (PEM), instead of those of the system."),
        "tls_cert_file": _text("The client's certificate (PEM)."),
        "tls_key_file": _text("The client's key (PEM)."),
        "tls_key_password_env": _variable_name("Name of the environment variable that holds the key's password."),
        "tls_check_hostname": _flag("The certificate must name the host. The default is true."),
        "sentinel_username": _text("The user for the Sentinels."),
        "sentinel_password_env": _variable_name("Name of the environment variable that holds their password."),
        "sentinel_tls": _flag("The Sentinels are spoken to with TLS. The default is as the URL says."),
    },
    ("url",),
)

_RUN = _section(
    "The run: how long, by how many controllers, over which server.",
    {
        "window": _planned("Time for the whole run. No phase may be longer."),
        "controllers": {
            "type": "integer",
            "minimum": 1,
            "description": (
                "How many controllers carry the run; no more than there are Larrys. The default is one for each Larry."
            ),
            "x-wants": "a whole number, 1 or more",
        },
        "redis": {
            "type": ["string", "object"],
            "description": (
                "``embedded`` (a Valkey server of this machine and user, started on demand), a URL"
                f" ({_REDIS_URLS}), or a mapping with a URL and its options."
                " Not part of the plan's digest. Passwords stay out of plans: name an environment variable with"
                " ``password_env``."
            ),
            "properties": _REDIS_MAPPING["properties"],
            "additionalProperties": False,
            "required": ["url"],
            "default": "embedded",
            "x-wants": "embedded, a URL, or a mapping with url and its options",
        },
        "prefix": {
            "type": "string",
            "pattern": NO_SPACE_OR_CONTROL,
            "maxLength": 64,
            "description": (
                "Stands before every key and channel, so that several runs share a server. On Redis Cluster it must"
                " hold a hash tag such as ``{larry}``. Not part of the digest."
            ),
            "default": "",
            "x-wants": "at most 64 characters without spaces and control characters",
        },
        "directory": {
            "type": "string",
            "pattern": rf"^[^\x00-\x1f\x7f]+{_END}",
            "description": (
                "Coordination directory (reports, evidence, archive), relative to the current directory. Not part of"
                " the digest."
            ),
            "default": "coordination",
            "x-wants": "a path",
        },
        "connection": {
            "type": "string",
            "pattern": rf"^[A-Za-z0-9_.]+{_END}",
            "description": (
                "``ansible_connection`` of all hosts. ``local`` also sets the interpreter to that of the controller; "
                "without it Ansible's own default applies and each host gets its node's address. group_vars beside the "
                "plan win over it. Not part of the digest."
            ),
            "x-wants": "the name of a connection plugin, such as local or ssh",
        },
        "time_scale": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 100000,
            "description": (
                "How many planned seconds pass in one real second: with 20, a planned minute lasts 3 seconds."
            ),
            "default": 1,
            "x-wants": "a number greater than 0",
        },
        "fail_on": _one_of(
            "What makes the exit code 2: a failed task or barrier, or an unmet criterion as well.",
            "failed",
            "unmet",
            default="failed",
        ),
        "fallback": _one_of(
            "What happens when the server does not answer at the start: the run is not begun, or the one controller (it"
            " needs ``controllers: 1``) uses the embedded server instead, and the report says so. Decided once, before"
            " a run is created. Not part of the digest.",
            "none",
            "embedded",
            default="none",
        ),
        "cleanup": _one_of(
            "When the run's keys are deleted: by the cleanup playbook, or at the end.",
            "on_request",
            "on_finish",
            default="on_request",
        ),
        "convergence": _planned(
            "When the Larrys should meet, counted from the start. The default is the end of the longest phase."
        ),
        "milestones": {
            "type": "object",
            "description": "Named moments, counted from the start, for the timeline: ``barrier: 31m``.",
            "propertyNames": {"pattern": ID_PATTERN, "maxLength": 100},
            "additionalProperties": _planned("When."),
            "default": {},
            "x-wants": "a mapping from names to durations",
        },
    },
    ("window",),
)

_NODE = _section(
    "A machine of the cluster.",
    {
        "address": {
            "type": "string",
            "pattern": rf"^[A-Za-z0-9][A-Za-z0-9.:_-]*{_END}",
            "description": "Host name or IP address.",
            "x-wants": "a host name or an IP address",
        },
        "role": _id("What it is in the cluster, such as ``master`` or ``worker``.", default="worker"),
    },
    ("address",),
)

_MASTER = _section(
    "A master agent: a named responsibility with budgets of its own.",
    {
        "tokens": _whole("Its personal token budget."),
        "pool": _whole("Tokens that it can hand to the workers of its Larry.", default=0),
    },
    ("tokens",),
)

_WORKER = _section(
    "A worker: an Ansible host that claims tasks and carries them out. Its id is ``<larry>-<name>``.",
    {
        "node": _id("The node it is bound to."),
        "tokens": _whole("Its token budget."),
        "duration": _planned("How long its work is planned to take; the default of the tasks that name it."),
        "capabilities": _list(
            "The capabilities it has. The default is the capability of each task that names it.",
            _id("A capability."),
            "a list of capabilities",
        ),
        "parameters": _parameters("Defaults for the parameters of the tasks that name this worker."),
    },
    ("node", "tokens", "duration"),
)

_LARRY = _section(
    "A Larry: leads one domain in one phase, from one node.",
    {
        "domain": _id("The domain. The role ``cortex.larry.<domain>`` carries its capabilities unless said otherwise."),
        "node": _id("The node it leads from."),
        "phase": _planned("How long its phase may take. Past it nothing new is claimed."),
        "checkpoints": {
            "type": "object",
            "description": (
                "Progress expected at moments of the phase: ``{10m: 40}`` is 40 % after 10 minutes. Less raises"
                " ``behind_plan``."
            ),
            "propertyNames": {"pattern": durations.PATTERN_OR_MINUTES, "maxLength": durations.MAX_CHARACTERS},
            "additionalProperties": {
                "type": "integer",
                "minimum": 0,
                "maximum": 100,
                "description": "Percent.",
                "x-wants": "a whole number of percent from 0 to 100",
            },
            "default": {},
            "x-wants": "a mapping from durations to percent",
        },
        "masters": _named("Its master agents.", _MASTER, "master agent", default={}),
        "workers": _named("Its workers, by their short names.", _WORKER, "worker", minProperties=1),
        "tokens": _whole("Stated for the reader: what its workers, master agents and pools come to. Must be the sum."),
    },
    ("domain", "node", "phase", "workers"),
)

_CAPABILITY = _section(
    "What carries a task out: an entry point of a role.",
    {
        "role": _role("The role. The default is ``cortex.larry.<domain>`` of the task's Larry."),
        "entry_point": _entry_point("The entry point. The default is the capability with ``_`` for ``-``."),
    },
)

_TASK_IDS = "a list of task ids"
_TASK = _section(
    "A unit of work.",
    {
        "larry": _id("The Larry whose task it is."),
        "capability": _id("What carries it out. The default is the task's own id."),
        "role": _role("The role for this task alone, before that of the capability."),
        "entry_point": _entry_point("The entry point for this task alone, before that of the capability."),
        "worker": _id(
            "Short name (or id) of the worker it is meant for. That is affinity: if the worker is lost, any capable"
            " worker of the Larry may take it. Without it the task belongs to the pool of all capable workers."
        ),
        "depends_on": _list(
            "Hard dependencies: ready when every one is completed.", _id("A task."), _TASK_IDS, default=[]
        ),
        "after": _list(
            "Soft dependencies: ready when every one is settled, however.", _id("A task."), _TASK_IDS, default=[]
        ),
        "wait_for_completion": _flag("With false, ``depends_on`` counts as ``after``.", default=True),
        "touches": _list(
            "Names of what it touches, for control (pause whatever touches ``postgresql``).",
            {
                "type": "string",
                "pattern": rf"^[A-Za-z0-9][A-Za-z0-9._:/-]*{_END}",
                "maxLength": 200,
                "description": "A name.",
                "x-wants": "a name of letters, digits and ._:/-",
            },
            "a list of names",
            default=[],
        ),
        "parameters": _parameters("Parameters of the capability; they win over those of the worker."),
        "metered": _flag("True if it makes model requests, which are held against the budgets.", default=False),
        "duration": _planned(
            "Planned duration and weight in the progress. The default is that of the worker, or the longest of the"
            " capable ones."
        ),
        "deadline": _planned("Each attempt ends here. The default is twice the duration."),
        "attempts": {
            "type": "integer",
            "minimum": 1,
            "maximum": 100,
            "description": "How often it is tried.",
            "default": 3,
            "x-wants": "a whole number from 1 to 100",
        },
        "backoff": _real("Pause before a failed task is offered again.", default="2s"),
        "tokens": _whole("Its token budget. The default is that of the worker, or the largest of the capable ones."),
    },
    ("larry",),
)

_CRITERION = _section(
    "A success condition: met, unmet, or not measured.",
    {
        "title": _text("What it says to a reader."),
        "scope": _id("``system`` or the id of a Larry.", default="system"),
        "needs": _list(
            "Tasks that must be completed; otherwise it is not measured.", _id("A task."), _TASK_IDS, default=[]
        ),
        "measure": {
            "type": ["string", "null"],
            "description": (
                "JMESPath over ``{tasks: {id: result with status}, run: {...}}``. Ids with dashes are quoted: "
                '``tasks."catalog-deployments".summary.assets``. Null, or an expression that gives null: not measured.'
            ),
            "default": None,
            "x-wants": "a JMESPath expression, or null",
        },
        "op": _one_of("How the measured value is compared.", *OPERATORS),
        "threshold": {
            "type": ["number", "string", "boolean"],
            "description": "What it is compared with; a number for ``<``, ``<=``, ``>``, ``>=``.",
            "x-wants": "a number, a text, true or false",
        },
        "unit": {
            "type": "string",
            "description": "Unit of the value, for the reader.",
            "default": "",
            "x-wants": "a text",
        },
    },
    ("title", "op", "threshold"),
)

SCHEMA: dict[str, Any] = {
    "$schema": SCHEMA_ID,
    "title": "A plan of cortex.larry",
    **_section(
        "One plan file declares nodes, Larrys, workers, tasks, budgets, criteria and the estate; it is also the Ansible"
        " inventory.",
        {
            "plugin": {
                "const": PLUGIN,
                "description": "Makes the file an inventory source of Ansible.",
                "x-wants": f"'{PLUGIN}'",
            },
            "name": _id("The plan's id."),
            "title": _text("Its name in reports. The default is the name in capitals."),
            "cluster": _text("Name of the cluster. The default is the plan's name."),
            "run": _RUN,
            "nodes": _named("The machines, by name.", _NODE, "node", minProperties=1),
            "larrys": _named("The Larrys.", _LARRY, "Larry", minProperties=1),
            "capabilities": _named(
                "Where capabilities are found, as far as the defaults do not fit.",
                _CAPABILITY,
                "capability",
                default={},
            ),
            "tasks": _named("The tasks, in the order in which ready ones are offered.", _TASK, "task", minProperties=1),
            "criteria": _named("The success criteria.", _CRITERION, "criterion", default={}),
            "barrier": _section(
                "The meeting of all Larrys at the end.",
                {
                    "policy": _one_of(
                        "What a dead member means: the barrier fails, goes on without it, or waits for its return.",
                        "fail",
                        "shrink",
                        "wait",
                        default="fail",
                    ),
                    "timeout": _real("How long a Larry waits there.", default="10m"),
                    "join_within": _real(
                        "How long a controller may take to join the run before it counts as dead.", default="5m"
                    ),
                },
                default={},
            ),
            "budgets": _section(
                "Tokens outside the Larrys, and the sums stated for the reader.",
                {
                    "meta_coordinator": _whole("Tokens of the meta-coordinator.", default=0),
                    "emergency": _whole("The one emergency pool of the whole run.", default=0),
                    "total": _whole("Everything together. If it is stated it must be the sum."),
                    "total_without_pools": _whole(
                        "Everything but the pools of the master agents. If it is stated it must be the sum."
                    ),
                },
                default={},
            ),
            "estate": _section(
                "What the Larrys look after.",
                {
                    "source": _one_of("A GitOps repository, or a live cluster.", "gitops", "kubernetes"),
                    "path": _text("The repository's directory, relative to the plan file. Not part of the digest."),
                    "context": _text("The kubeconfig context of a live cluster. Not part of the digest."),
                },
                ("source",),
            ),
        },
        ("plugin", "name", "run", "nodes", "larrys", "tasks", "estate"),
    ),
}
