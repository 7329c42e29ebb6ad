# Installs what a pom.xml lists, and compiles. usage: . install.bash pom.xml source…
pom=$1
shift
command -v javac >/dev/null && command -v mvn >/dev/null || { echo "a JDK or Maven is missing" >&2; exit 77; }
if ! cmp --silent "$pom" pom.xml; then
  rm -rf dependency
  mvn --batch-mode --quiet -Dstyle.color=never --file "$pom" -Dwork="$PWD" dependency:copy-dependencies
  cp "$pom" .
fi
rm -rf classes
javac --release 17 -encoding UTF-8 -nowarn -d classes -cp 'dependency/*' "$@"
