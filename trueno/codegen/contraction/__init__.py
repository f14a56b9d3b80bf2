"""Contractions: sums of products over any strides, as packed panels and register tiles.

A stage whose one reduction is the sum of a product, each factor of which moves along some of the kept dimensions, is a
matrix product in disguise: dimensions along which both factors move are batches, those of one factor alone are rows (M)
or columns (N), those that are summed are K. The loops around the register tile are those of Goto and van de Geijn
(Anatomy of High-Performance Matrix Multiplication, ACM TOMS 34, 2008) in the form of BLIS (Van Zee and van de Geijn,
BLIS: A Framework for Rapidly Instantiating BLAS Functionality, ACM TOMS 41, 2015).

match : which stages are contractions, and the role of each dimension
tile : the register tile and the arithmetic of a step, from dtypes, target and shape
steps : normal form: run-time numbers and text of the two kinds of step
lower : from a stage to its steps, sizes of blocks, which factors are packed
pack, micro, dots, multiply : their code
amx : that of products in tiles of matrices
"""
