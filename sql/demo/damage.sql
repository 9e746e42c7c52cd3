-- What goes wrong on the target of `pgconvoy demo`: one cent, in one row of one table.
update shop.orders set total = total + 0.01 where id = 47110
