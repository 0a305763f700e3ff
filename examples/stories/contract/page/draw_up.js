// Draws up a contract, and shows the links of the two parties.

import { attempt, call, make } from "/page.js";

document.querySelector("#terms").addEventListener("submit", (event) => {
  event.preventDefault();
  const { first, second, text } = Object.fromEntries(new FormData(event.target));
  attempt(async () => {
    const { links } = await call("/api/contract", { text, parties: [first, second] });
    const place = document.querySelector("#links");
    const names = [first, second];
    place.replaceChildren(place.firstElementChild, ...links.map((href, party) => make("a", { className: "button quiet", target: "_blank", href }, names[party])));
    place.hidden = false;
  });
});
