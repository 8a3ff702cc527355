// Gives a figure the layout of a telephone, with its height there, where the screen is that narrow.
function layOutWhereNarrow(id, layout) {
    if (window.innerWidth > 600) return;
    const figure = document.getElementById(id);
    figure.parentElement.style.height = figure.style.height = `${layout.height}px`;
    Plotly.relayout(id, layout);
}
