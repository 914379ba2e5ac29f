# Checks a document against as much of JSON Schema as doc/schema uses. Run with
# --slurpfile s SCHEMA; prints a line for each thing that is wrong.
def violations($s; $path):
	. as $v
	| ($v | type) as $t
	| (if $s.type != null then
		([$s.type] | flatten) as $types
		| if any($types[]; . == $t or (. == "integer" and $t == "number" and ($v | floor) == $v))
		then empty else "\($path): \($t), not \($types | join(" or "))" end
	else empty end),
	(if $s.enum != null and ($s.enum | index([$v])) == null and all($s.enum[]; . != $v)
	then "\($path): \($v | tojson) is none of \($s.enum | tojson)" else empty end),
	(if $s.pattern != null and $t == "string" and ($v | test($s.pattern) | not)
	then "\($path): \($v | tojson) does not look like \($s.pattern)" else empty end),
	(if $t == "object" then
		(($s.required // [])[] | . as $k | select($v | has($k) | not) | "\($path): no \($k)"),
		(($s.properties // {}) | to_entries[] | . as $p | select($v | has($p.key))
			| $v[$p.key] | violations($p.value; "\($path).\($p.key)"))
	else empty end),
	(if $t == "array" and $s.items != null then
		(range($v | length) | . as $i | $v[$i] | violations($s.items; "\($path)[\($i)]"))
	else empty end);
violations($s[0]; "")
