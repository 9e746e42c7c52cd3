include table "foo1". "a"
