// What the layout of this page is: written into the page around it as JSON, for the test that asked.
{
  const numbers = (colour) => (colour.match(/[\d.]+/g) || []).map(Number);
  const light = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue].map((one) => one / 255)
      .map((one) => (one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = numbers(getComputedStyle(one).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const contrast = (element) => {
    const style = getComputedStyle(element);
    const ink = numbers(element instanceof SVGElement ? style.fill : style.color);
    const [low, high] = [light(ink), light(ground(element))].sort((one, other) => one - other);
    return (high + 0.05) / (low + 0.05);
  };
  const own = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  const written = [...document.body.querySelectorAll("*")]
    .filter((element) => own(element) && !["SCRIPT", "STYLE"].includes(element.tagName));
  const wide = [...document.body.querySelectorAll("*")]
    .filter((element) => !element.closest(".scroll, code, svg") && element.getBoundingClientRect().right > innerWidth + 1);
  const scrolls = [...document.querySelectorAll(".scroll")];
  const columns = [...document.querySelectorAll(".scroll")].map((element) =>
    [...element.querySelectorAll("thead th")]
      .filter((head) => head.getBoundingClientRect().right <= element.getBoundingClientRect().right)
      .map((head) => head.textContent));
  const found = {
    width: innerWidth,
    across: document.documentElement.scrollWidth,
    wide: wide.map((element) => element.outerHTML.slice(0, 120)),
    faint: written.filter((element) => contrast(element) < 4.5)
      .map((element) => `${contrast(element).toFixed(2)}: ${element.textContent.trim().slice(0, 60)}`),
    small: written.filter((element) => !(element instanceof SVGElement) && parseFloat(getComputedStyle(element).fontSize) < 12)
      .map((element) => element.textContent.trim().slice(0, 60)),
    cued: scrolls.map((element) => [element.scrollWidth > element.clientWidth, getComputedStyle(element).backgroundImage]),
    columns,
    broken: [...document.querySelectorAll("code")]
      .filter((element) => element.clientHeight > 2.2 * parseFloat(getComputedStyle(element).fontSize))
      .map((element) => element.textContent),
  };
  const answer = document.createElement("script");
  answer.type = "application/json";
  answer.id = "looked";
  answer.textContent = JSON.stringify(found).replace(/</g, "\\u003c");
  parent.document.body.append(answer);
}
