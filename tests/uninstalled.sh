# shellcheck shell=sh disable=SC2154
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the tests of other languages share, besides tap.sh: programs find the library as it was
# built, without being installed.

export GI_TYPELIB_PATH="$builddir${GI_TYPELIB_PATH:+:$GI_TYPELIB_PATH}"
export LD_LIBRARY_PATH="$builddir/.libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export PYTHONPATH="$srcdir/bindings/python${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONDONTWRITEBYTECODE=1
export GJS_PATH="$srcdir/bindings/gjs${GJS_PATH:+:$GJS_PATH}"

skip_all ()
{
  echo "1..0 # SKIP $1"
  exit 0
}

needs_typelib ()
{
  [ -e "$builddir/EasyServers-0.typelib" ] || skip_all "built without introspection"
}

needs_python ()
{
  needs_typelib
  ${PYTHON:-python3} -c 'import gi' 2>/dev/null || skip_all "no python3 that imports gi is there"
}

needs_gjs ()
{
  needs_typelib
  command -v gjs >/dev/null || skip_all "gjs is not there"
}

needs_vala ()
{
  [ -e "$builddir/vala/easyservers.vapi" ] || skip_all "built without vapigen"
  command -v valac >/dev/null || skip_all "valac is not there"
}

# What comes before the command of an interpreter: a sanitizer that the library was built with has to
# be there first. What it keeps of freed memory, and what an interpreter never frees, are no leaks.
interpreted=
if nm -D "$builddir/.libs/libeasyservers.so" 2>/dev/null | grep -q ' U __asan_init'; then
  interpreted="env LD_PRELOAD=$(${CC:-cc} -print-file-name=libasan.so)"
  # shellcheck disable=SC2034
  interpreted="$interpreted ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=1"
fi

# compile_vala SOURCE PROGRAM [OPTION...]: the C compiler is whatever the library was built with.
compile_vala ()
{
  (
    cd "$builddir" || exit 1
    source=$1 program=$2
    shift 2
    valac --quiet --vapidir=vala --pkg=easyservers "$@" -C -d "$scratch" "$source" || exit 1
    # Compiler and flags are several words each; what valac writes is not ours to warn about.
    # shellcheck disable=SC2046,SC2086
    ${CC:-cc} $CPPFLAGS ${CFLAGS-} -w "$scratch/$(basename "$source" .vala).c" -o "$program" \
      ${LDFLAGS-} -L.libs -leasyservers \
      $(${PKG_CONFIG:-pkg-config} --cflags --libs gio-2.0 gio-unix-2.0)
  )
}
