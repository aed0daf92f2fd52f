"""The report's charts as Vega-Lite, made with Altair: a function a chart, None where it has nothing to show.

A chart has no width and no colours of a theme, which the page gives, and PNG and SVG have from figures.py. What stands
for a configuration carries its position in the field `configuration`; those whose positions are in the parameter
`pinned` are drawn stronger.
"""
