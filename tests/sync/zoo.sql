-- A little of everything is changed in the zoo: of each table one row goes, one comes a second time, one is moved to where the
-- next unique value is; whatever a table does not allow is left.
set search_path = '';
do $$
  declare
    t record;
    c record;
  begin
    set constraints all deferred;
    for t in
        select k.oid, format('%I.%I', n.nspname, k.relname) as name
        from pg_catalog.pg_class k
        join pg_catalog.pg_namespace n on n.oid = k.relnamespace
        where k.relkind = 'r' and k.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
        order by 2
    loop
        begin
            execute format('insert into %s select * from only %1$s order by ctid desc limit 1', t.name);
            set constraints all immediate;
        exception when others then null;
        end;
        begin
            execute format('delete from only %s where ctid = (select max(ctid) from only %1$s where ctid < (select max(ctid) from only %1$s))', t.name);
            set constraints all immediate;
        exception when others then null;
        end;
        for c in
            select format('%I', a.attname) as name
            from pg_catalog.pg_attribute a
            where a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped and not a.attnotnull
            order by a.attnum desc
            limit 1
        loop
            begin
                execute format('update only %s set %s = null where ctid = (select min(ctid) from only %1$s)', t.name, c.name);
                set constraints all immediate;
            exception when others then null;
            end;
        end loop;
    end loop;
  end
$$;
update zoo.sales set day = day + 400 where id in (207, 208, 209);
update zoo.chicken set a = -a, b = -b where id = 50 and not exists (select from zoo.egg where zoo.egg.a = 50);
select nextval('zoo.down'), setval('zoo.tiny', 7), nextval('zoo.restarted');
select lo_unlink(990002), lo_put(990003, 5, 'other'), lo_from_bytea(995000, 'new'), lo_unlink(991007);
alter large object 990001 owner to zoo_visitor;
revoke all on large object 990003 from zoo_visitor;
grant select on large object 990006 to "zoo Keeper";
comment on large object 990003 is null;
refresh materialized view zoo.summary;
